"""deploy/slurm/join.sbatch, as it is, on a virtual Slurm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.kills import UNFLUSHED_S, sums
from tests.engines.slurm.world import ALL, SCRIPTS, Runs

pytestmark = pytest.mark.engines
JOIN = SCRIPTS / "join.sbatch"


def test_an_array_does_without_a_lost_node_and_a_task_comes_late(
    runs: Runs, tmp_path: Path
) -> None:
    slow = {"FINEHARD_SECONDS": "0.8"}
    array = runs.submit(JOIN, tmp_path / "out", "--array=0-2", "--exclusive", **slow)
    runs.until_answered(0.1, array)
    late = runs.submit(JOIN, tmp_path / "out", "--array=0", "--exclusive", **slow)
    runs.until_answered(0.4, array, late)
    killed = time.time()
    runs.cluster.kill(runs.cluster.tasks(array)[1]["BatchHost"])
    tasks = runs.until_done(array, late)
    assert sums(tmp_path / "out") == runs.single.sums
    assert [answer for answer in runs.twice() if answer.at < killed - UNFLUSHED_S] == []
    assert sorted(task["Restarts"] for task in tasks) == ["0", "0", "0", "1"]
    printed = [runs.printed(task["JobId"]) for task in tasks]
    wrote = [text for text in printed if ALL in text]  # or came when it was written
    assert wrote and all("\n0 requests" in text for text in wrote)
