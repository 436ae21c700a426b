"""Runs a Beam pipeline: chooses the runner and passes its options."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import zipfile
from collections.abc import Callable
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    SetupOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from apache_beam.runners.runner import create_runner

from finehard.beam.failures import plain, root_cause, silence_beam, watched_threads
from finehard.errors import FinehardError, UsageError, error_line

IN_PROCESS = "FnApiRunner"
"""The in-process runner. Beam's DirectRunner may download a binary ("Prism")."""

_WITH_A_JOB_SERVER = ("PortableRunner", "FlinkRunner", "SparkRunner", "PrismRunner")
"""Runners whose job server has options of its own, which Beam asks it for when the job starts."""
_SAME_NAME = 0.9
"""Share of equal letters from which on an unknown option is a known one misspelt."""

_log = logging.getLogger(__name__)


def options(arguments: list[str]) -> PipelineOptions:
    """Returns the Beam options after `--`. Raises `UsageError` if one is unknown; what Beam does
    not know may be an option of the runner's job server, if it has one. A runner that would lose
    data is refused too, and one without what it needs."""
    parsed = PipelineOptions(arguments)
    standard = parsed.view_as(StandardOptions)
    name = (standard.runner or "").rpartition(".")[2]
    if name == "DaskRunner":
        raise UsageError(
            "runner DaskRunner: it drops what steps emit at the end of a bundle, so most samples "
            "would be lost; for many machines without a Beam cluster see --join (docs/cluster.md)"
        )
    _refuse_unknown(arguments, name)
    if standard.runner in (None, "DirectRunner", "direct"):
        standard.runner = IN_PROCESS
    else:
        _known_runner(standard.runner)
        _refuse_missing_job_server(name, parsed)
    direct = parsed.view_as(DirectOptions)
    if (direct.direct_num_workers or 1) != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    parsed.view_as(SetupOptions).pickle_library = "cloudpickle"
    return parsed


def in_this_process(parsed: PipelineOptions) -> bool:
    """Returns whether the whole pipeline runs in this process."""
    workers = parsed.view_as(DirectOptions).direct_num_workers
    return parsed.view_as(StandardOptions).runner == IN_PROCESS and workers in (None, 1)


def storage_options(parsed: PipelineOptions) -> dict[str, dict[str, Any]]:
    """Returns Beam's options for object stores (`--s3_...`, `--azure_...`, `--no_auth`) as those
    of `storage.configure`."""
    given = parsed.get_all_options(drop_default=True)
    client = {name: given.get(f"s3_{name}") for name in ("region_name", "api_version", "verify")}
    stores = {
        "s3": {
            "key": given.get("s3_access_key_id"),
            "secret": given.get("s3_secret_access_key"),
            "token": given.get("s3_session_token"),
            "endpoint_url": given.get("s3_endpoint_url"),
            "use_ssl": False if given.get("s3_disable_ssl") else None,
            "client_kwargs": _set(client) or None,
        },
        "gs": {"token": "anon" if given.get("no_auth") else None},
        "az": {
            "connection_string": given.get("azure_connection_string"),
            "account_url": given.get("blob_service_endpoint"),
            "client_id": given.get("azure_managed_identity_client_id"),
        },
    }
    return {scheme: options for scheme, values in stores.items() if (options := _set(values))}


def _set(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _known_runner(name: str) -> None:
    try:
        create_runner(name)
    except Exception as error:  # an unknown name, or a package that is not installed
        raise UsageError(f"runner {name}: {error_line(error)}") from None


def _refuse_missing_job_server(runner: str, parsed: PipelineOptions) -> None:
    endpoint = parsed.view_as(PortableOptions).job_endpoint
    if runner == "PortableRunner" and not endpoint:
        raise UsageError("runner PortableRunner: give its job server by --job_endpoint=HOST:PORT")
    prism = parsed.view_as(PrismRunnerOptions).prism_location
    if runner != "PrismRunner" or endpoint or not prism or "://" in prism:
        return
    if not os.path.isfile(prism):
        raise UsageError(f"--prism_location={prism}: no such file")
    if zipfile.is_zipfile(prism):
        name = os.path.splitext(os.path.basename(prism))[0]
        with zipfile.ZipFile(prism) as archive:
            if name not in archive.namelist():  # as Beam unpacks it
                raise UsageError(f"--prism_location={prism}: has no {name} in it; unpack the zip")


def _refuse_unknown(arguments: list[str], runner: str) -> None:
    parser = _all_options()
    unknown = parser.parse_known_args(arguments)[1]
    for option in unknown:
        close = difflib.get_close_matches(
            option.partition("=")[0], parser._option_string_actions, 1, _SAME_NAME
        )
        if close:
            raise UsageError(f"unknown Beam option {option}; did you mean {close[0]}?")
    if unknown and runner not in _WITH_A_JOB_SERVER:
        raise UsageError(f"unknown Beam option {unknown[0]}: see the runner's documentation")


def _all_options() -> _BeamArgumentParser:
    """Returns a parser of all options that Beam knows."""
    parser = _BeamArgumentParser()
    kinds = [PipelineOptions]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind is not PipelineOptions:
            with contextlib.suppress(argparse.ArgumentError):  # two kinds share an option
                kind._add_argparse_args(parser)
    return parser


def run(
    construct: Callable[[beam.Pipeline], Any],
    parsed: PipelineOptions,
    submitted: Callable[[Any], bool] = lambda _: True,
) -> Any:
    """Constructs a pipeline and runs it to its end. `submitted` gets the result as soon as it runs,
    and returns whether to wait for it. Raises `FinehardError` if it fails."""

    def begin() -> Any:
        pipeline = beam.Pipeline(options=parsed)
        construct(pipeline)
        result = pipeline.run()
        _tell_of_job(result, parsed)
        return result if submitted(result) else None

    return wait_for(begin, parsed)


def wait_for(begin: Callable[[], Any], parsed: PipelineOptions) -> Any:
    """Begins a run with the options `parsed`, waits for its end and returns it, unless `begin`
    returns None. Raises `FinehardError` if it fails."""
    silence_beam()
    try:
        with watched_threads():
            result = begin()
            state = None if result is None else result.wait_until_finish()
    except FinehardError as error:
        kind = UsageError if isinstance(error, UsageError) else FinehardError
        raise kind(plain(str(error))) from error
    except Exception as error:
        raise FinehardError(root_cause(error, parsed)) from error
    if state not in (None, "DONE"):
        raise FinehardError(f"the runner ended in state {state}")
    return result


def _tell_of_job(result: Any, parsed: PipelineOptions) -> None:
    """Tells where a job on Dataflow can be watched."""
    if getattr(result, "has_job", False):
        cloud = parsed.view_as(GoogleCloudOptions)
        _log.info(
            "Dataflow job: https://console.cloud.google.com/dataflow/jobs/%s/%s?project=%s",
            cloud.region, result.job_id(), cloud.project,
        )  # fmt: skip
