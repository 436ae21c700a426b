"""Beam's job services and worker pools, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from finehard.serve.replica import free_port
from tests.pipelines.world import ROOT

PYTHON = Path(sys.executable)
JOB_SERVICE = (sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main")
POOL = (sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main")


@contextmanager
def running(*command: str, python: Path = PYTHON) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command`, with `python`'s folder first on PATH, until the block ends: then it is killed
    with all that it started."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def python_job_service(before: Sequence[str] = ()) -> Iterator[list[str]]:
    """Beam's job service in Python and a pool of workers, started by the command `before`; the
    options for them."""
    job, pool = free_port(), free_port()
    with (
        running(*JOB_SERVICE, "--port", str(job)),
        running(*before, *POOL, "--service_port", str(pool)),
    ):
        yield options(job, pool)


def options(job: int, pool: int) -> list[str]:
    """Beam's options for a job service and a pool of workers at these ports."""
    return [
        "--runner=PortableRunner", f"--job_endpoint=localhost:{job}",
        "--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}",
    ]  # fmt: skip
