"""The same build on every runner that runs here."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from finehard.state import current_run
from tests.pipelines.world import ROOT, Server, build, built, config, images, start


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _running(*module_and_arguments: str, before: Sequence[str] = ()) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        [*before, sys.executable, "-m", *module_and_arguments], env=environment, cwd=ROOT,
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
    with _cluster() as options:
        portable = built(settings, source, tmp_path / "three", *options)
    assert portable == in_process


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers a disk of their own")
def test_workers_that_do_not_see_the_output_ask_nothing(tmp_path: Path, server: Server) -> None:
    """Each server was asked once a stage before the build: by the command, which sees it."""
    settings, output = config(tmp_path, server.url), tmp_path / "out"
    output.mkdir()
    mounted = f'mount -t tmpfs none {output} && exec "$@"'
    with _cluster(("unshare", "--mount", "sh", "-c", mounted, "sh")) as options:
        began = time.monotonic()
        done = build(settings, images(tmp_path / "in", 60), output, *options)
    assert done.returncode == 1 and time.monotonic() - began < 60, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert re.search(rf"worker on \S+ does not see {output}: mount the same disk", line)
    answered = [stage for _, stage, _ in server.answered()]
    assert len(answered) == len(set(answered)), "more than was asked before the build"


@pytest.mark.slow
def test_a_run_that_another_replaced_ends_at_its_next_unit(tmp_path: Path, server: Server) -> None:
    """As of a command that was killed, whose job on a cluster goes on."""
    settings, output = config(tmp_path, server.url), tmp_path / "out"
    process = start(settings, images(tmp_path / "in", 2000), output)
    while not list(output.glob("_journal/caption/*/*/part-*")):
        time.sleep(0.1)
    current_run.begin(str(output), "another")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"another build of {output} has begun since; this one ends here" in err
    assert "Traceback" not in err and not (output / "manifest.json").exists()


@contextmanager
def _cluster(before: Sequence[str] = ()) -> Iterator[list[str]]:
    """Beam's job service and a pool of workers, started by the command `before`."""
    job, pool = _free_port(), _free_port()
    workers = ("apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool))
    with (
        _running("apache_beam.runners.portability.local_job_service_main", "--port", str(job)),
        _running(*workers, before=before),
    ):
        yield [
            "--runner=PortableRunner", f"--job_endpoint=localhost:{job}",
            "--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}",
        ]  # fmt: skip
