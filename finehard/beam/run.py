"""Runs a Beam pipeline: chooses the runner, passes its options, reports a failure in one line."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from apache_beam.runners.runner import create_runner

from finehard.errors import FinehardError, UsageError, error_line

IN_PROCESS = "FnApiRunner"
"""The in-process runner. Beam's DirectRunner may download a binary ("Prism")."""

_WITH_A_JOB_SERVER = ("PortableRunner", "FlinkRunner", "SparkRunner", "PrismRunner")
"""Runners whose job server has options of its own, which Beam asks it for when the job starts."""
_SAME_NAME = 0.9
"""Share of equal letters from which on an unknown option is a known one misspelt."""

_log = logging.getLogger(__name__)

WORKER_GONE = (
    "a worker process died (killed, or out of memory?); everything answered so far is kept: run "
    "the same command again, perhaps with fewer workers"
)
WORKER_GONE_S = 10.0
"""Seconds that the runner gets to end by itself after a worker died."""


def options(arguments: list[str]) -> PipelineOptions:
    """Returns the Beam options after `--`. Raises `UsageError` if one is unknown; what Beam does
    not know may be an option of the runner's job server, if it has one."""
    parsed = PipelineOptions(arguments)
    standard = parsed.view_as(StandardOptions)
    _refuse_unknown(arguments, (standard.runner or "").rpartition(".")[2])
    if standard.runner in (None, "DirectRunner", "direct"):
        standard.runner = IN_PROCESS
    else:
        _known_runner(standard.runner)
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


@contextlib.contextmanager
def _ended_with_a_worker() -> Iterator[None]:
    """Ends this process if one of its worker processes dies: Beam would wait for it forever.

    Beam's thread that waits for a worker raises if the worker ended with an error. It does so too
    if the pipeline failed and is about to raise: that gets `WORKER_GONE_S` to happen.
    """
    before, done = threading.excepthook, threading.Event()

    def on_thread_error(failed: threading.ExceptHookArgs) -> None:
        if failed.thread is None or failed.thread.name != "run_worker":
            before(failed)
        elif not done.wait(WORKER_GONE_S):
            print(f"finehard: {WORKER_GONE}", file=sys.stderr, flush=True)
            os._exit(1)

    threading.excepthook = on_thread_error
    try:
        yield
    finally:
        done.set()
        threading.excepthook = before


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

    return wait_for(begin)


def wait_for(begin: Callable[[], Any]) -> Any:
    """Begins a run, waits for its end and returns it, unless `begin` returns None. Raises
    `FinehardError` if it fails."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # failures are one line here
    try:
        with _ended_with_a_worker():
            result = begin()
            state = None if result is None else result.wait_until_finish()
    except FinehardError as error:
        kind = UsageError if isinstance(error, UsageError) else FinehardError
        raise kind(_plain(str(error))) from error
    except Exception as error:
        raise FinehardError(root_cause(error)) from error
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


_RAISED = re.compile(r"^(?:finehard\.errors\.)?(?:FinehardError|UsageError): (.*)$", re.MULTILINE)

_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b(?:: |$)")


def root_cause(error: BaseException) -> str:
    """Returns the message for the user from the error that a runner wrapped around it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FinehardError):
            return _plain(str(cause))
        cause = cause.__cause__ or cause.__context__
    messages = _RAISED.findall(str(error))
    if messages:
        return _plain(messages[-1])
    if "Channel closed prematurely" in str(error):
        return WORKER_GONE
    lines = [line for line in str(error).splitlines() if line.strip()]
    # a traceback's last exception, whose text may have several lines
    start = max((n for n, line in enumerate(lines) if _EXCEPTION.match(line)), default=0)
    last = " ".join(lines[start:]) if lines else type(error).__name__
    return _plain(f"the pipeline failed: {last} (--debug shows more)")


def _plain(line: str) -> str:
    """Returns `line` without the step name that Beam adds."""
    line = re.sub(r"\s*\[while running '[^']*'\]", "", line)
    return " ".join(line.split())[:500]
