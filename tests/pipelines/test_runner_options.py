"""Options after `--`: Beam's, and those of a runner's job server, which Beam asks it for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from apache_beam.portability.api import beam_job_api_pb2 as jobs
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from finehard.beam import run
from finehard.errors import UsageError

MAX_BUNDLE_TIME = jobs.PipelineOptionDescriptor(
    name="max_bundle_time_mills", type=jobs.PipelineOptionType.INTEGER
)
"""One of Flink's job server."""


@pytest.mark.parametrize("runner", ["PortableRunner", "FlinkRunner"])
@pytest.mark.parametrize(
    "given", [["--max_bundle_time_mills=100"], ["--max_bundle_time_mills", "100"]]
)
def test_options_of_a_job_server_reach_it(runner: str, given: list[str]) -> None:
    parsed = run.options([f"--runner={runner}", "--parallelism=8", *given])
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
