"""A job that outlives its command: cancelled, left, attached to, finished once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finehard.dataset.validate import validate
from finehard.state import current_run
from tests.pipelines import services
from tests.pipelines.jobs import Jobs, asked_twice, at_work, jobs_at, road, until
from tests.pipelines.world import ROOT, Server, build, config, images, manifest, start

pytestmark = pytest.mark.slow
IMAGES = 240


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    """Beam's job service in Python, with a pool of workers."""
    with services.python_job_service() as options:
        yield jobs_at(options)


def finehard(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "finehard.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def is_finished(output: Path) -> bool:
    """Whether the dataset is whole, and nothing is left of the run that made it."""
    left = [*output.glob("_journal/_records/*"), *output.glob("_journal/_status/*")]
    finished = (output / "_journal/finished.json").exists() and (output / "report.html").exists()
    return finished and not left and not current_run.last(str(output)) and not validate(str(output))


def test_a_killed_commands_job_is_attached_to_and_finished_once(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    first = start(settings, source, output, *jobs.options)
    until(lambda: at_work(output), first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert jobs.state() == "RUNNING"
    second = start(settings, source, output, *jobs.options)
    assert second.stderr is not None
    assert re.match(rf"job \S+ at \S+ builds {output} already", second.stderr.readline())
    third = build(settings, source, output, *jobs.options)
    assert third.returncode == 1 and f"being built by process {second.pid}" in third.stderr
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0 and f"{IMAGES} read = " in out, err
    assert jobs.state() == "DONE" and asked_twice(server) == 0 and is_finished(output)
    assert len(list(output.glob("_journal/_runs/*"))) == 1


def test_a_job_that_ended_alone_is_finished_without_a_question(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    left = build(settings, source, output, *jobs.options, options=["--detach"])
    assert left.returncode == 0, left.stderr
    [line] = left.stdout.splitlines()
    watched, cancelled = re.fullmatch(
        r"job \S+ at \S+ goes on by itself\. To watch and finish it: (.*); to cancel it: (.*)", line
    ).groups()  # type: ignore[union-attr]
    assert "--detach" not in watched and cancelled == f"finehard cancel {output}"
    for options, said in (
        (["--set", "detect.score=0.9"], "with other settings or input"),
        (["--join"], "which no process can join"),
    ):
        beam = () if "--join" in options else jobs.options
        other = build(settings, source, output, *beam, options=options)
        refused = rf"{output} is being built by job \S+ at \S+, {said}: wait .* finehard cancel "
        assert other.returncode == 1 and re.search(refused, other.stderr), other.stderr
    until(lambda: jobs.state() == "DONE")
    asked, written = len(server.answered()), (output / "manifest.json").stat()
    assert asked_twice(server) == 0 and not is_finished(output)
    done = build(settings, source, output, *jobs.options)
    assert done.returncode == 0 and f"{IMAGES} read = " in done.stdout, done.stderr
    assert re.search(r"\n[1-9]\d* requests", done.stdout), "those of the job"
    assert len(server.answered()) == asked and is_finished(output)
    assert (output / "manifest.json").stat() == written
    assert finehard("cancel", str(output)).stderr == f"finehard: no job builds {output}\n"


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "finehard cancel"])
def test_a_cancelled_job_ends_and_the_command_goes_on(
    tmp_path: Path, server: Server, jobs: Jobs, how: str
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    first = start(settings, source, output, *jobs.options)
    until(lambda: at_work(output), first)
    if how == "finehard cancel":
        done = finehard("cancel", str(output))
        assert re.match(r"cancelled job \S+ at \S+; everything", done.stdout), done.stderr
    else:
        first.send_signal(signal.Signals[how])
    _, err = first.communicate(timeout=30)
    code = {"SIGINT": 130, "SIGTERM": 143}.get(how, 1)
    assert first.returncode == code and len(re.findall("(?m)^finehard: ", err)) == 1, err
    assert re.search(r"cancelled job|was cancelled; everything answered so far is kept", err)
    assert not (output / "manifest.json").exists() and not current_run.last(str(output))
    until(lambda: jobs.state() == "FAILED")  # this service only calls a job cancelled
    if how == "SIGINT":
        again = build(settings, source, output)
        assert again.returncode == 0 and asked_twice(server) == 0 and is_finished(output)


def test_a_job_out_of_reach_is_superseded_and_destroys_nothing(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", 600)
    output = tmp_path / "out"
    with road(jobs.options) as (way, options):
        first = start(settings, source, output, *options)
        until(lambda: at_work(output), first)
        way.block()
        first.send_signal(signal.SIGINT)
        first.send_signal(signal.SIGINT)
        until(lambda: first.poll() is None or True)
        _, err = first.communicate(timeout=30)
        assert first.returncode == 130 and "may go on; to cancel it: finehard cancel" in err
    assert jobs.state() == "RUNNING"
    same = build(settings, source, output, *options)
    assert same.returncode == 1 and "cannot ask about job" in same.stderr, same.stderr
    assert jobs.state() == "RUNNING"
    here = start(settings, source, output)
    until(lambda: jobs.state() == "FAILED", here)
    out, err = here.communicate(timeout=120)
    assert here.returncode == 0 and "600 read = " in out, err
    assert manifest(output)["counts"]["read"] == 600 and is_finished(output)
