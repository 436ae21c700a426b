"""Jobs that go on without the command that submitted them: recorded, and found again."""

from __future__ import annotations

from typing import Any

import grpc
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_job_api_pb2 as api
from apache_beam.portability.api import beam_job_api_pb2_grpc as grpc_api
from apache_beam.runners.portability import portable_runner
from apache_beam.runners.runner import PipelineResult, PipelineState

from finehard.errors import FinehardError, error_line
from finehard.state.current_run import Job

_ASK_S = 20.0
"""Seconds in which a job service has to answer."""
_NAME = "beam:option:job_name:v1"
_ON_DATAFLOW = "DataflowRunner"
_WORKERS_HERE = ("PrismRunner", "FlinkRunner", "SparkRunner")
"""Runners that may start the workers in the command itself if they are not told where."""


def name_job(parsed: PipelineOptions, run: str) -> None:
    """Names the job that `parsed` are the options of after `run`, unless it has a name."""
    cloud = parsed.view_as(GoogleCloudOptions)
    cloud.job_name = cloud.job_name or f"finehard-{run.lower()}"


def lasts(parsed: PipelineOptions) -> bool:
    """Returns whether a job with these options surely goes on without this process."""
    runner, endpoint = runner_of(parsed), _endpoint(parsed)
    if runner == _ON_DATAFLOW:
        return True
    workers = parsed.view_as(PortableOptions).environment_type
    here = workers == "LOOPBACK" or (not workers and runner in _WORKERS_HERE)
    return bool(endpoint) and not here


def job_of(result: PipelineResult, parsed: PipelineOptions, runner: str) -> Job | None:
    """Returns the job that was submitted with `parsed` to `runner`; None if it ends with this
    process."""
    cloud, endpoint = parsed.view_as(GoogleCloudOptions), _endpoint(parsed)
    if getattr(result, "has_job", False):
        where = {"project": cloud.project, "region": cloud.region}
        return Job(runner, result.job_id(), cloud.job_name, **where)
    of_a_service = isinstance(result, portable_runner.PipelineResult) and endpoint
    if not of_a_service or result._cleanup_callbacks:  # its workers are here
        return None
    return Job(runner, result._job_id, cloud.job_name, endpoint)


def find(job: Job, parsed: PipelineOptions) -> PipelineResult | None:
    """Returns `job`, to be asked, waited for and cancelled; None if its service does not know it
    any more. Raises `FinehardError` if that cannot be reached."""
    try:
        return _at_service(job) if job.endpoint else _on_dataflow(job, parsed)
    except Exception as error:
        details = error.details() if isinstance(error, grpc.RpcError) else error
        raise FinehardError(f"cannot ask about {job}: {error_line(details, 150)}") from error


def same_service(job: Job, parsed: PipelineOptions) -> bool:
    """Returns whether a job with these options is submitted to where `job` was."""
    if job.endpoint:
        return _endpoint(parsed) == job.endpoint
    return runner_of(parsed) == _ON_DATAFLOW


def is_live(result: PipelineResult) -> bool:
    """Returns whether a job has neither ended nor been cancelled."""
    state = result.state
    return not PipelineState.is_terminal(state) and state != PipelineState.CANCELLING


def is_running(result: PipelineResult) -> bool:
    """Returns whether a job's work has begun and not ended."""
    return bool(result.state == PipelineState.RUNNING)


def is_cancelled(result: PipelineResult) -> bool:
    """Returns whether a job was cancelled; no, where its service does not answer."""
    try:
        return result.state in (PipelineState.CANCELLED, PipelineState.CANCELLING)
    except Exception:
        return False


def runner_of(parsed: PipelineOptions) -> str:
    """Returns the name of the runner."""
    return (parsed.view_as(StandardOptions).runner or "").rpartition(".")[2]


def _endpoint(parsed: PipelineOptions) -> str:
    endpoint = parsed.view_as(PortableOptions).job_endpoint
    return endpoint if endpoint and endpoint != "embed" else ""


def _at_service(job: Job) -> PipelineResult | None:
    stub = grpc_api.JobServiceStub(grpc.insecure_channel(job.endpoint))
    if not _is_known(stub, job):
        return None
    messages = stub.GetMessageStream(api.JobMessagesRequest(job_id=job.id))
    states = stub.GetStateStream(api.GetJobStateRequest(job_id=job.id))
    return portable_runner.PipelineResult(stub, job.id, messages, states)


def _is_known(stub: grpc_api.JobServiceStub, job: Job) -> bool:
    """Returns whether the service knows `job`, by its id and its name. Raises `grpc.RpcError` if it
    cannot be reached."""
    try:
        stub.GetState(api.GetJobStateRequest(job_id=job.id), timeout=_ASK_S)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        return False
    try:
        listed = stub.GetJobs(api.GetJobsRequest(), timeout=_ASK_S).job_info
    except grpc.RpcError:  # not every service lists its jobs
        return True
    options = [each.pipeline_options.fields for each in listed if each.job_id == job.id]
    return any(not given or given[_NAME].string_value == job.name for given in options)


def _on_dataflow(job: Job, parsed: PipelineOptions) -> PipelineResult | None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult, DataflowRunner
    from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
    from google.api_core.exceptions import NotFound

    options = PipelineOptions.from_dictionary(parsed.get_all_options(drop_default=True))
    cloud = options.view_as(GoogleCloudOptions)
    cloud.project, cloud.region = job.project, job.region
    runner: Any = DataflowRunner()
    runner.dataflow_client = client = DataflowApplicationClient(options)
    try:  # without Beam's second tries, which take ten minutes over a job that is not known
        found = DataflowApplicationClient.get_job.__wrapped__(client, job.id)
    except NotFound:
        return None
    return DataflowPipelineResult(found, runner, options)
