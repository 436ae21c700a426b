"""What the tests of jobs that outlive their command share: a job service, and what it is doing."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from apache_beam.portability.api import beam_job_api_pb2 as api
from apache_beam.portability.api import beam_job_api_pb2_grpc as grpc_api

from finehard.serve.replica import free_port
from finehard.state import current_run
from tests.pipelines.test_resume import UNFLUSHED_S
from tests.pipelines.world import Server


class Jobs(NamedTuple):
    """A job service, and Beam's options for it."""

    stub: grpc_api.JobServiceStub
    options: list[str]

    def state(self) -> str:
        """The state of the job that was submitted last."""
        job = self.stub.GetJobs(api.GetJobsRequest(), timeout=10).job_info[-1]
        return api.JobState.Enum.Name(job.state)


def jobs_at(options: list[str]) -> Jobs:
    """The job service that Beam's `options` name, once it answers."""
    channel = grpc.insecure_channel(endpoint(options))
    grpc.channel_ready_future(channel).result(timeout=180)
    return Jobs(grpc_api.JobServiceStub(channel), options)


def endpoint(options: list[str]) -> str:
    """The job service's address in Beam's `options`."""
    return next(o for o in options if o.startswith("--job_endpoint=")).partition("=")[2]


def until(done: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Waits until `done`, while `process` runs; ends that if it takes too long."""
    for _ in range(4000):
        if done():
            return
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.1)
    if process is not None:
        process.kill()
    raise AssertionError("not within 400 s")


def at_work(output: Path) -> bool:
    """Whether the job that builds `output` is recorded and has saved some answers."""
    run = current_run.last(str(output))
    return bool(run and run.job) and any(output.glob("_journal/caption/*/*/part-*"))


def asked_twice(server: Server) -> int:
    """How many questions were answered more than once."""
    counts = Counter((stage, question) for _, stage, question in server.answered())
    return sum(number > 1 for number in counts.values())


def saved_and_asked_again(server: Server, before: list[tuple[float, str, str]]) -> int:
    """How many questions answered `before`, when a job ended, were asked again, other than those of
    its last moments."""
    last = max(at for at, *_ in before)
    saved = {(stage, question) for at, stage, question in before if at < last - UNFLUSHED_S}
    return len(saved & {(s, question) for _, s, question in server.answered()[len(before) :]})


class Road:
    """A port that leads to another, until it is blocked: then nothing passes, and nothing ends."""

    def __init__(self, port: int, to: tuple[str, int]) -> None:
        self.port, self._to = port, to
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = [socket.create_server(("127.0.0.1", port))]
        threading.Thread(target=self._accept, daemon=True).start()

    def block(self) -> None:
        """Lets nothing pass any more."""
        self._open.clear()

    def close(self) -> None:
        """Ends the port and all its connections."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._sockets[0].accept()
                there = socket.create_connection(self._to)
                self._sockets += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, from_: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := from_.recv(1 << 16):
                if not self._open.is_set():
                    return
                to.sendall(data)


@contextmanager
def road(options: list[str]) -> Iterator[tuple[Road, list[str]]]:
    """A road to the job service of `options`, and the options that lead along it."""
    host, _, port = endpoint(options).rpartition(":")
    made = Road(free_port(), (host, int(port)))
    along = [o.replace(f"={host}:{port}", f"=127.0.0.1:{made.port}") for o in options]
    try:
        yield made, along
    finally:
        made.close()
