"""deploy/slurm/build.sbatch, as it is, on a virtual Slurm."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.kills import UNFLUSHED_S, sums
from tests.engines.slurm.cluster import wait_for
from tests.engines.slurm.vllm import SLOTS
from tests.engines.slurm.world import ALL, SCRIPTS, Runs

pytestmark = pytest.mark.engines
BUILD, JOIN = SCRIPTS / "build.sbatch", SCRIPTS / "join.sbatch"
IN_WORK = 2 * SLOTS
"""Answers that two servers may be giving when a build is ended: they are asked for again."""
GIVES_WAY = "requeued: the time limit is near\n"


def restarts(runs: Runs, job: str) -> int:
    [task] = runs.cluster.tasks(job)
    return int(task["Restarts"])


def test_a_job_gives_the_bytes_of_a_single_build(runs: Runs, tmp_path: Path) -> None:
    job = runs.submit(BUILD, tmp_path / "out", "--nodes=3")
    runs.until_done(job)
    assert sums(tmp_path / "out") == runs.single.sums
    assert runs.twice() == []
    assert len({answer.node for answer in runs.answers()}) == 3
    assert ALL in runs.printed(job)


@pytest.mark.parametrize("script", [BUILD, JOIN], ids=lambda script: script.stem)
def test_of_two_jobs_on_a_node_each_asks_its_own_servers(
    runs: Runs, tmp_path: Path, script: Path
) -> None:
    options = ["--nodes=1", "--nodelist=node2"]
    options += ["--array=0"] if script == JOIN else []
    jobs = [runs.submit(script, tmp_path / f"out{number}", *options) for number in range(2)]
    runs.until_done(*jobs)
    for number, job in enumerate(jobs):
        assert sums(tmp_path / f"out{number}") == runs.single.sums
        asked = Counter(answer.question for answer in runs.answers() if answer.job == job)
        assert {asked[question] for question in runs.single.questions} == {1}


def test_one_server_is_enough(runs: Runs, tmp_path: Path) -> None:
    nodes = ("--nodes=2", "--nodelist=node[1-2]")
    job = runs.submit(BUILD, tmp_path / "out", *nodes, FINEHARD_FAILS="node1")
    [task] = runs.until_done(job)
    assert task["BatchHost"] == "node1" and "no GPU" in runs.printed(job)
    assert {answer.node for answer in runs.answers()} == {"node2"}
    assert sums(tmp_path / "out") == runs.single.sums and runs.twice() == []


def test_a_build_that_fails_fails_its_job(runs: Runs, tmp_path: Path) -> None:
    job = runs.submit(BUILD, tmp_path / "out", "--nodes=2", CONFIG="nowhere")
    [task] = runs.until_ended(job)
    assert (task["JobState"], task["ExitCode"]) == ("FAILED", "2:0")
    assert "nowhere" in runs.printed(job)
    runs.cluster.wait_idle()  # its servers have ended too


def test_four_requeues_lose_no_answer(runs: Runs, tmp_path: Path) -> None:
    job = runs.submit(BUILD, tmp_path / "out", "--nodes=2")
    ending = []
    for number in range(4):
        runs.until_answered((number + 1) / 6, job)
        signalled = time.time()
        runs.cluster.ask("scancel", "--signal=USR1", "--batch", job)
        wait_for(lambda: restarts(runs, job) > number, 120, "a requeue")  # noqa: B023
        ending.append((signalled - UNFLUSHED_S, time.time()))
    runs.until_done(job)
    assert restarts(runs, job) == 4 and runs.printed(job).count(GIVES_WAY) == 4
    assert sums(tmp_path / "out") == runs.single.sums
    for answer in runs.twice():
        assert any(begun <= answer.at <= ended for begun, ended in ending), (answer, ending)


def test_a_job_at_its_time_limit_is_requeued(runs: Runs, tmp_path: Path) -> None:
    limits = ("--time=1", "--signal=B:USR1@5")  # minutes, the least there is; seconds
    job = runs.submit(BUILD, tmp_path / "out", "--nodes=1", *limits, FINEHARD_SECONDS="0.9")
    runs.until_done(job)
    assert 1 <= restarts(runs, job) == runs.printed(job).count(GIVES_WAY)
    assert sums(tmp_path / "out") == runs.single.sums
    assert len(runs.twice()) <= restarts(runs, job) * SLOTS


def test_a_cancelled_job_goes_on_as_another(runs: Runs, tmp_path: Path) -> None:
    first = runs.submit(BUILD, tmp_path / "out", "--nodes=2")
    runs.until_answered(0.4, first)
    cancelled = time.time()
    runs.cluster.ask("scancel", first)
    [task] = runs.until_ended(first)
    assert task["JobState"] == "CANCELLED"
    second = runs.submit(BUILD, tmp_path / "out", "--nodes=2")
    runs.until_done(second)
    assert sums(tmp_path / "out") == runs.single.sums
    assert "everything answered so far is kept" in runs.printed(first)
    assert [answer for answer in runs.twice() if answer.at < cancelled - UNFLUSHED_S] == []
    assert len(runs.twice()) <= IN_WORK


@pytest.mark.parametrize("place", [0, 1], ids=["first", "other"])
def test_a_killed_node_is_done_without(runs: Runs, tmp_path: Path, place: int) -> None:
    job = runs.submit(BUILD, tmp_path / "out", "--nodes=2")
    runs.until_answered(0.4, job)
    killed = time.time()
    runs.cluster.kill(runs.nodes(job)[place])
    runs.until_done(job)
    assert restarts(runs, job) == (1 if place == 0 else 0)
    assert sums(tmp_path / "out") == runs.single.sums
    assert [answer for answer in runs.twice() if answer.at < killed - UNFLUSHED_S] == []


def test_a_node_lost_in_silence_stops_no_answers(runs: Runs, tmp_path: Path) -> None:
    job = runs.submit(BUILD, tmp_path / "out", "--nodes=2")
    runs.until_answered(0.3, job)
    lost, unplugged = runs.nodes(job)[1], time.time()
    runs.cluster.unplug(lost)
    runs.until_done(job)
    assert restarts(runs, job) == 0
    assert sums(tmp_path / "out") == runs.single.sums
    others = [answer.at for answer in runs.answers() if answer.node != lost]
    times = [unplugged, *(at for at in others if at > unplugged)]
    assert max(after - before for before, after in itertools.pairwise(times)) < 5
    assert {answer.node for answer in runs.twice()} <= {lost}
