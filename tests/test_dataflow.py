"""`finehard submit`: the command for Dataflow, and what it says is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from finehard import dataflow
from finehard.beam import run
from finehard.cli.main import main
from finehard.config import Config, as_dict, load_config, parse_config
from finehard.dataflow import Job, beam_options, missing
from finehard.errors import UsageError
from finehard.settings.dataflow import DataflowConfig

PYTHON = ".".join(map(str, sys.version_info[:2]))
SERVED = {"model": "m", "endpoints": ["http://10.0.0.2:8000/v1"]}
MACHINES = {"accelerator": "nvidia-l4", "python": PYTHON}
JOB = Job("gs://b/in", "gs://b/out", "p", "us-central1", "gs://b/temp", "image")


def config(**sections: Any) -> Config:
    return parse_config({"models": {"lmm": SERVED, "llm": SERVED}, **sections}, "test")


def test_a_whole_job_lacks_nothing() -> None:
    assert missing(JOB, config(dataflow=MACHINES)) == []
    bundled = load_config("dataflow")
    assert bundled.dataflow is not None
    assert missing(JOB, bundled, tuple(map(int, bundled.dataflow.python.split(".")))) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"project": ""}, "no project: --project, or make PROJECT=..."),
        ({"region": ""}, "no region: --region, or make REGION=..."),
        ({"temp": ""}, "no temp: --temp, or make TEMP=..."),
        ({"image": ""}, "no image: --image, or make IMAGE=..."),
        ({"temp": "s3://b/temp"}, "temp s3://b/temp is not in Google Cloud Storage"),
        ({"temp": "gs:///temp"}, "temp gs:///temp is not in Google Cloud Storage"),
        ({"input": "/data"}, "input /data is on this machine"),
        ({"output": "file:///out"}, "output file:///out is on this machine"),
    ],
)
def test_what_is_missing_is_one_line(change: dict[str, str], line: str) -> None:
    [told] = missing(JOB._replace(**change), config(dataflow=MACHINES))
    assert told.startswith(line)


def test_another_python_than_the_image_is_told() -> None:
    [told] = missing(JOB, config(dataflow={**MACHINES, "python": "3.99"}))
    assert told.startswith(f"this is Python {PYTHON}, the image has 3.99") and "python3.99" in told


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow, "installed", lambda module: False)
    [told] = missing(JOB, config(dataflow=MACHINES))
    assert told == "apache-beam[gcp] is not installed: pip install 'finehard[gcp]'"


def test_servers_that_workers_do_not_reach_are_told() -> None:
    here = {**SERVED, "endpoints": ["http://localhost:8000/v1"]}
    made = config(models={"lmm": here, "llm": SERVED}, dataflow=MACHINES)
    assert [line.split(" ")[0] for line in missing(JOB, made)] == ["models.lmm.endpoints:"]
    server = {"where": "driver", "engine": {"model": "m"}}
    made = config(models={"lmm": {}, "llm": SERVED}, server=server, dataflow=MACHINES)
    assert [line.split(" ")[0] for line in missing(JOB, made)] == ["server.where:"]


def test_a_refused_job_says_all_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["submit", "--set", "dataflow.python='3.99'", "--input", "in", "--output", "out"]
    assert main(arguments) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "finehard: nothing was submitted:"
    assert len(told) == 8 and all(line.startswith("  ") for line in told[1:])


def test_a_config_without_machines_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["submit", "--config", "cluster", "--input", "in", "--output", "out"]
    assert main(arguments) == 2
    assert "the config has no dataflow section" in capsys.readouterr().err


def test_the_printed_command_is_a_build(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["submit", "--print", "--set", f'dataflow.python="{PYTHON}"', "--limit", "9"]
    for name, value in JOB._asdict().items():
        arguments += [f"--{name}", value]
    assert main([*arguments, "--", "--max_num_workers=3"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("finehard build --config dataflow --set ")
    assert "--input gs://b/in --output gs://b/out --limit 9 -- --runner=DataflowRunner" in told
    assert told.rstrip().endswith("--max_num_workers=3")


def test_beam_knows_the_options() -> None:
    machines = DataflowConfig(**MACHINES, gpus=2, workers=5, disk_gb=300)
    given = run.options(beam_options(JOB, machines)).get_all_options(drop_default=True)
    assert given["machine_type"] == "n2-standard-4"
    assert given["max_num_workers"] == 5 and given["disk_size_gb"] == 300
    assert given["sdk_container_image"] == "image" and given["temp_location"] == "gs://b/temp"
    assert "dataflow_service_options" not in given  # worker_accelerator excludes hints
    hint = "type:nvidia-l4;count:2;machine_type:g2-standard-24;install-nvidia-driver"
    assert machines.hint() == hint


@pytest.mark.parametrize(
    ("machines", "told"),
    [
        ({"accelerator": "nvidia-l5"}, "no machine type is known for 'nvidia-l5'.*nvidia-l4"),
        ({"gpus": 3}, r"dataflow.gpus: a machine with nvidia-l4 has 1, 2, 4, 8 of them, not 3"),
    ],
)
def test_an_unknown_machine_is_refused(machines: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        config(dataflow={**MACHINES, **machines})
    assert config(dataflow={**MACHINES, **machines, "machine_type": "x"}).dataflow


def test_machines_are_not_in_the_manifest() -> None:
    assert as_dict(config(dataflow=MACHINES)) == as_dict(config())


def test_make_submits_the_job() -> None:
    text = (Path(__file__).parents[1] / "Makefile").read_text("utf-8")
    bundled = load_config("dataflow").dataflow
    assert bundled is not None and f"python{bundled.python}," in text
    for name in ("project", "region", "temp", "image"):
        assert f'--{name} "$({name.upper()})"' in text
