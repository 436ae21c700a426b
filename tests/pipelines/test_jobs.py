"""A job that outlives its command: cancelled, left, attached to, finished once."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2 as api
from apache_beam.portability.api import beam_job_api_pb2_grpc as grpc_api

from finehard.dataset.validate import validate
from finehard.state import current_run
from tests.pipelines import services
from tests.pipelines.world import (
    Server,
    build,
    built,
    config,
    images,
    start,
    sums,
)

pytestmark = pytest.mark.slow
IMAGES = 240


class Jobs(NamedTuple):
    """A job service, and Beam's options for it."""

    stub: grpc_api.JobServiceStub
    options: list[str]

    def states(self) -> list[str]:
        """The states of all jobs, oldest first."""
        jobs = self.stub.GetJobs(api.GetJobsRequest(), timeout=10).job_info
        return [api.JobState.Enum.Name(job.state) for job in jobs]


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """Beam's job service in Python, with a pool of workers."""
    with services.python_job_service() as options:
        yield Jobs(stub_at(options), options)


def stub_at(options: list[str]) -> grpc_api.JobServiceStub:
    [endpoint] = [o.partition("=")[2] for o in options if o.startswith("--job_endpoint=")]
    channel = grpc.insecure_channel(endpoint)
    grpc.channel_ready_future(channel).result(timeout=60)
    return grpc_api.JobServiceStub(channel)


def until(done: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Waits until `done`, while `process` runs."""
    for _ in range(1200):
        if done():
            return
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("not within two minutes")


def answers(output: Path) -> bool:
    """Whether some answers are saved, and a job is recorded."""
    run = current_run.last(str(output))
    return bool(run and run.job) and any(output.glob("_journal/caption/*/*/part-*"))


def asked_twice(server: Server) -> int:
    """How many questions were answered more than once."""
    counts = Counter((stage, question) for _, stage, question in server.answered())
    return sum(number > 1 for number in counts.values())


def test_a_killed_commands_job_is_attached_to_and_finished_once(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    first = start(settings, source, output, *jobs.options)
    until(lambda: answers(output), first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert jobs.states() == ["RUNNING"]
    second = start(settings, source, output, *jobs.options)
    assert second.stderr is not None
    until(lambda: "already: waiting" in second.stderr.readline(), second)
    third = build(settings, source, output, *jobs.options)
    assert third.returncode == 1 and f"being built by process {second.pid}" in third.stderr
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0 and f"{IMAGES} read = " in out, err
    assert jobs.states() == ["DONE"] and asked_twice(server) == 0
    assert validate(str(output)) == [] and (output / "report.html").exists()
    assert len(list(output.glob("_journal/_runs/*"))) == 1
    assert not list(output.glob("_journal/_records/*")) and current_run.last(str(output)) is None
    again = build(settings, source, output, *jobs.options)
    assert again.returncode == 0 and "nothing is done" in again.stderr
    assert sums(output) == built(settings, source, tmp_path / "alone")
