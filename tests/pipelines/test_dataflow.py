"""A job for Dataflow, staged on this machine: what it asks Dataflow for, and what it would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from google.auth.credentials import AnonymousCredentials

import finehard
from finehard.config import load_config
from finehard.dataflow import Job, beam_options
from finehard.io import storage
from finehard.worker.runtime import close_all
from tests.io import emulators
from tests.pipelines.world import Server, built, config, images, sums

ACCELERATOR = "beam:resources:accelerator:v1"
STEP_BYTES = 20_000
"""What a step may weigh, pickled: it holds the build, which holds neither samples nor files."""


def staged(settings: Path, source: Path, output: Path, root: str) -> tuple[Any, api.Pipeline]:
    """Stages the job below `root`; what is sent to Dataflow, and the pipeline."""
    made = load_config(str(settings))
    assert made.dataflow is not None
    job = Job(str(source), str(output), "project", "us-central1", f"{root}/temp", "image")
    template = str(output.with_suffix(".json"))
    beam = [*beam_options(job, made.dataflow), f"--template_location={template}"]
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):  # for nothing has run
        finehard.build(made, str(source), str(output), beam=beam)
    sent = json.loads(Path(template).read_text())
    url = sent["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    return sent, api.Pipeline.FromString(storage.read_all(url))


def replayed(pipeline: api.Pipeline) -> None:
    """Runs a staged pipeline in this process."""
    for environment in pipeline.components.environments.values():
        environment.urn, environment.payload = "beam:env:embedded_python:v1", b""
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions()).wait_until_finish()
    close_all()


@pytest.mark.slow
def test_a_staged_job_asks_for_machines_and_makes_equal_bytes(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = {"accelerator": "nvidia-l4", "python": "3.12", "workers": 5}
    settings = config(tmp_path, server.url, dataflow=machines)
    source = images(tmp_path / "in", 24)
    expected = built(settings, source, tmp_path / "one")
    output = tmp_path / "two"
    with emulators.start("gs") as store:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
        nobody = (AnonymousCredentials(), "project")  # whom Beam would seek for half a minute
        monkeypatch.setattr("google.auth.default", lambda **_: nobody)
        settings = config(tmp_path, server.url, dataflow=machines, storage=store.options)
        job, pipeline = staged(settings, source, output, store.root)
    [pool] = job["environment"]["workerPools"]
    assert pool["machineType"] == "n2-standard-4" and pool["diskSizeGb"] == 200
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 5
    assert {each["containerImage"] for each in pool["sdkHarnessContainerImages"]} == {"image"}
    experiments = job["environment"]["experiments"]
    assert "no_use_multiple_sdk_containers" in experiments
    [package] = pool["packages"]  # what is installed here, for Dataflow's own log
    assert package["name"] == "submission_environment_dependencies.txt"
    _check_steps(pipeline)
    replayed(pipeline)
    assert sums(output) == expected


def _check_steps(pipeline: api.Pipeline) -> None:
    """Reading, the stages and spilling ask for a GPU, the rest does not; all are small."""
    environments = pipeline.components.environments
    on_gpu: dict[str, bytes] = {}
    for step in pipeline.components.transforms.values():
        if step.spec.urn == "beam:transform:pardo:v1":
            assert len(step.spec.payload) < STEP_BYTES, step.unique_name
            hints = environments[step.environment_id].resource_hints
            on_gpu[step.unique_name] = hints.get(ACCELERATOR, b"")
    gpu = b"type:nvidia-l4;count:1;machine_type:g2-standard-12;install-nvidia-driver"
    assert {value for value in on_gpu.values() if value} == {gpu}
    with_gpu = {name for name, hint in on_gpu.items() if hint}
    without = on_gpu.keys() - with_gpu
    for name in ("sources/read", "caption", "phrases", "detect", "verify", "shards/spill"):
        assert any(step.startswith(name) for step in with_gpu), with_gpu
    for name in ("sources/units", "shards/write", "shards/complete"):
        assert any(step.startswith(name) for step in without), without
        assert not any(step.startswith(name) for step in with_gpu), with_gpu
