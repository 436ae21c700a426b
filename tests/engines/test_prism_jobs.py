"""A job on Prism that outlives its command; Prism counts its jobs, from 1 at each start."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from finehard import building
from finehard.attaching import cancel
from finehard.config import parse_config
from finehard.dataset.validate import validate
from finehard.serve.replica import free_port
from finehard.state import current_run
from tests.engines.prism import prism
from tests.pipelines.jobs import at_work, jobs_at, saved_and_asked_again, until
from tests.pipelines.services import POOL, options, running
from tests.pipelines.world import Server, build, config, images, start

pytestmark = [pytest.mark.slow, pytest.mark.engines]
IMAGES = 240


def stands(element: Any) -> Any:
    time.sleep(120)
    return element


def test_another_job_of_the_same_number_is_not_attached_to(tmp_path: Path, server: Server) -> None:
    program, job, pool = prism(tmp_path), free_port(), free_port()
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output, beam_options = tmp_path / "out", options(job, pool)
    service = (program, "-job_port", str(job), "-serve_http=false")
    with running(*POOL, "--service_port", str(pool)):
        with running(*service):
            jobs_at(beam_options)
            left = build(settings, source, output, *beam_options, options=["--detach"])
            assert left.returncode == 0 and left.stdout.startswith("job job-001 at "), left.stderr
            until(lambda: at_work(output))
        with running(*service):
            jobs = jobs_at(beam_options)
            strange = beam.Pipeline(options=PipelineOptions(beam_options))
            strange | beam.Create([1]) | beam.Map(stands)
            strange.run()
            until(lambda: jobs.state() == "RUNNING")
            done = start(settings, source, output)
            out, err = done.communicate(timeout=180)
            assert done.returncode == 0 and f"{IMAGES} read = " in out, err
            assert "waiting for it" not in err and jobs.state() == "RUNNING"
    assert validate(str(output)) == []


def test_prisms_job_is_attached_to_cancelled_and_begun_anew(tmp_path: Path, server: Server) -> None:
    program, job, pool = prism(tmp_path), free_port(), free_port()
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output, beam_options = tmp_path / "out", options(job, pool)
    with (
        running(*POOL, "--service_port", str(pool)),
        running(program, "-job_port", str(job), "-serve_http=false"),
    ):
        jobs = jobs_at(beam_options)
        first = start(settings, source, output, *beam_options)
        until(lambda: at_work(output), first)
        assert str(cancel(str(output))).startswith("job job-001 at ")
        _, err = first.communicate(timeout=60)
        assert first.returncode == 1 and "job-001 at" in err and "was cancelled; every" in err
        assert jobs.state() == "CANCELLED" and current_run.last(str(output)) is None

        before = server.answered()
        second = start(settings, source, output, *beam_options)
        until(lambda: at_work(output) and jobs.state() == "RUNNING", second)
        second.send_signal(signal.SIGKILL)
        second.wait()
        loaded = parse_config(json.loads(settings.read_text()), "test")
        built = building.build(loaded, str(source), str(output), beam=beam_options)
        assert built.manifest["counts"]["read"] == IMAGES and jobs.state() == "DONE"
        assert saved_and_asked_again(server, before) == 0 and validate(str(output)) == []
