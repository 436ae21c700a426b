"""Builds on Prism, Beam's runner in Go, as a program of its own and as a service."""

from __future__ import annotations

import re
import time
from pathlib import Path

import apache_beam as beam
import psutil
import pytest

from finehard.beam import run
from finehard.errors import FinehardError
from finehard.serve.replica import free_port
from tests.engines.prism import prism, service
from tests.pipelines.services import options, running
from tests.pipelines.test_resume import UNFLUSHED_S
from tests.pipelines.world import Server, build, built, config, images, start, sums

pytestmark = pytest.mark.slow


def test_prism_asks_the_same_and_gives_the_same_bytes(tmp_path: Path, server: Server) -> None:
    program, settings = prism(tmp_path), config(tmp_path, server.url)
    source = images(tmp_path / "in", 60)
    in_process = built(settings, source, tmp_path / "one")
    asked = sorted(question for _, _, question in server.answered())
    server.log.write_text("")
    done = build(
        settings, source, tmp_path / "two", "--runner=PrismRunner", f"--prism_location={program}"
    )
    assert done.returncode == 0, done.stderr
    assert sums(tmp_path / "two") == in_process
    assert sorted(question for _, _, question in server.answered()) == asked
    shown = done.stderr.splitlines()
    assert all(re.match(r"building |\d+/60 images", line) for line in shown if line), done.stderr


@pytest.mark.engines
def test_a_build_goes_on_after_prism_lost_its_worker(tmp_path: Path, server: Server) -> None:
    program, settings = prism(tmp_path), config(tmp_path, server.url)
    source, output = images(tmp_path / "in", 120), tmp_path / "out"
    in_process = built(settings, source, tmp_path / "one")
    answered = server.answered()
    once_a_stage = len({stage for _, stage, _ in answered})
    rehearsed = {question for _, _, question in answered[:once_a_stage]}
    server.log.write_text("")
    with service(program) as (beam_options, pool):
        process = start(settings, source, output, *beam_options)
        while not list(output.glob("_journal/caption/*/*/part-*")):
            assert process.poll() is None
            time.sleep(0.05)
        (worker,) = psutil.Process(pool).children()
        worker.kill()
        killed = time.time()
        _, printed = process.communicate(timeout=60)
        assert process.returncode == 1
        (line,) = [line for line in printed.splitlines() if line.startswith("finehard: ")]
        assert "a worker process died" in line and "Traceback" not in printed
        time.sleep(0.2)  # what the server was still answering
        saved = {question for at, _, question in server.answered() if at < killed - UNFLUSHED_S}
        server.log.write_text("")
        assert built(settings, source, output, *beam_options) == in_process
    asked_again = saved & {question for _, _, question in server.answered()}
    assert asked_again <= rehearsed


def test_prism_without_a_pool_of_workers_ends_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job, pool = free_port(), free_port()
    with running(prism(tmp_path), "-job_port", str(job), "-serve_http=false"):
        parsed = run.options(options(job, pool))
        with pytest.raises(FinehardError, match=f"is gone.*worker pool at localhost:{pool} cannot"):
            run.run(lambda pipeline: pipeline | beam.Create([1]), parsed)
    assert capfd.readouterr().err == ""


@pytest.mark.engines
@pytest.mark.full
def test_a_pool_that_starts_another_python_is_named(tmp_path: Path, server: Server) -> None:
    """Prism waits for a worker for a minute."""
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    with service(prism(tmp_path), python=other) as (beam_options, _):
        done = build(
            config(tmp_path, server.url), images(tmp_path / "in", 4), tmp_path / "out",
            *beam_options,
        )  # fmt: skip
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("finehard: ")]
    address = beam_options[-1].partition("=")[2]
    assert f"no worker came from the worker pool at {address}: the first `python`" in line
