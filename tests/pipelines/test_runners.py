"""The same build on every runner that runs here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipelines.world import ROOT, Server, built, config, images


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _running(*module_and_arguments: str) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", *module_and_arguments], env=environment, cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_all_runners_give_the_same_bytes(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url)
    source = images(tmp_path / "in", 60)
    in_process = built(settings, source, tmp_path / "one")
    assert len([name for name in in_process if name.endswith(".tar")]) == 6
    two = built(settings, source, tmp_path / "two", "--direct_num_workers=2")
    assert two == in_process
    job, pool = _free_port(), _free_port()
    with (
        _running("apache_beam.runners.portability.local_job_service_main", "--port", str(job)),
        _running("apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool)),
    ):
        portable = built(
            settings, source, tmp_path / "three", "--runner=PortableRunner",
            f"--job_endpoint=localhost:{job}", "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool}",
        )  # fmt: skip
    assert portable == in_process
