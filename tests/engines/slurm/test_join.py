"""deploy/slurm/join.sbatch, as it is, on a virtual Slurm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.kills import UNFLUSHED_S
from tests.engines.slurm.world import SCRIPTS, Runs
from tests.pipelines.world import sums

pytestmark = pytest.mark.engines
JOIN = SCRIPTS / "join.sbatch"


def test_an_array_does_without_a_lost_node_and_a_task_comes_late(
    runs: Runs, tmp_path: Path
) -> None:
    array = runs.submit(JOIN, tmp_path / "out", "--array=0-2", "--exclude=node4")
    runs.until_answered(0.25, array)
    late = runs.submit(JOIN, tmp_path / "out", "--array=0", "--nodelist=node4")
    runs.until_answered(0.45, array, late)
    killed = time.time()
    runs.cluster.kill("node2")
    tasks = runs.until_ended(array, late)
    assert sums(tmp_path / "out") == runs.single.sums
    print([a.at - killed for a in runs.twice()])
    print([(t["JobId"], t["Restarts"], t["BatchHost"]) for t in tasks])
    for t in tasks:
        print(runs.printed(t["JobId"]))
    assert [answer for answer in runs.twice() if answer.at < killed - UNFLUSHED_S] == []
    wrote = [told for told in (runs.printed(task["JobId"]) for task in tasks) if "200 read" in told]
    assert len(wrote) == 1 and "\n0 requests" in wrote[0]
