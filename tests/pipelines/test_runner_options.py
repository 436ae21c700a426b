"""Options after `--`: Beam's, and those of a runner's job server, which Beam asks it for."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_job_api_pb2 as jobs
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner
from apache_beam.utils.shared import Shared

from finehard.beam import run
from finehard.errors import FinehardError, UsageError
from finehard.serve.replica import free_port

MAX_BUNDLE_TIME = jobs.PipelineOptionDescriptor(
    name="max_bundle_time_mills", type=jobs.PipelineOptionType.INTEGER
)
"""One of Flink's job server."""


@pytest.mark.parametrize("runner", ["PortableRunner", "FlinkRunner"])
@pytest.mark.parametrize(
    "given", [["--max_bundle_time_mills=100"], ["--max_bundle_time_mills", "100"]]
)
def test_options_of_a_job_server_reach_it(runner: str, given: list[str]) -> None:
    parsed = run.options(
        [f"--runner={runner}", "--job_endpoint=localhost:1", "--parallelism=8", *given]
    )
    server = SimpleNamespace(
        DescribePipelineOptions=lambda *_, **__: jobs.DescribePipelineOptionsResponse(
            options=[MAX_BUNDLE_TIME]
        )
    )
    sent = JobServiceHandle(server, parsed).get_pipeline_options()
    assert sent["beam:option:max_bundle_time_mills:v1"] == "100"
    assert sent["beam:option:parallelism:v1"] == "8"


@pytest.mark.parametrize("runner", ["FlinkRunner", "DataflowRunner", "DirectRunner"])
def test_a_misspelt_option_is_refused(runner: str) -> None:
    with pytest.raises(UsageError, match=r"option --job_endpont=x; did you mean --job_endpoint\?"):
        run.options([f"--runner={runner}", "--job_endpont=x"])


@pytest.mark.parametrize("runner", ["DataflowRunner", "DirectRunner"])
def test_an_unknown_option_without_a_job_server_is_refused(runner: str) -> None:
    with pytest.raises(UsageError, match="unknown Beam option --max_bundle_time_mills=100"):
        run.options([f"--runner={runner}", "--max_bundle_time_mills=100"])


def test_a_portable_runner_without_a_job_server_is_refused() -> None:
    with pytest.raises(UsageError, match="PortableRunner: give its job server by --job_endpoint="):
        run.options(["--runner=PortableRunner"])


def test_a_missing_prism_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--prism_location=\S+/prism: no such file"):
        run.options(["--runner=PrismRunner", f"--prism_location={tmp_path / 'prism'}"])


def test_a_zip_that_beam_cannot_unpack_as_prism_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "renamed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("prism", b"")
    with pytest.raises(UsageError, match=r"has no renamed in it; unpack the zip"):
        run.options(["--runner=PrismRunner", f"--prism_location={packed}"])


def test_prism_that_cannot_be_downloaded_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(PrismJobServer, "BIN_CACHE", str(tmp_path))
    monkeypatch.setattr(PrismRunner, "shared_handle", Shared())
    with pytest.raises(FinehardError, match=r"^Prism cannot be downloaded from https://\S+\.zip: "):
        run.run(lambda pipeline: pipeline | beam.Create([1]), run.options(["--runner=PrismRunner"]))


def test_a_job_server_that_does_not_answer_is_named() -> None:
    address = f"localhost:{free_port()}"
    parsed = run.options(
        ["--runner=PortableRunner", f"--job_endpoint={address}", "--job_server_timeout=1"]
    )
    with pytest.raises(FinehardError, match=f"the job server at {address} does not answer: "):
        run.run(lambda pipeline: pipeline | beam.Create([1]), parsed)


def test_a_runner_that_would_lose_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="DaskRunner: it drops what steps emit .* see --join"):
        run.options(["--runner=apache_beam.runners.dask.dask_runner.DaskRunner"])
