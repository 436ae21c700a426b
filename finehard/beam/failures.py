"""A runner's failure as one line for the user; what Beam says of it besides is not shown."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from finehard.errors import FinehardError

_WORKER_GONE = (
    "a worker process died (killed, or out of memory?); everything answered so far is kept: run "
    "the same command again, perhaps with fewer workers"
)
_WORKER_GONE_S = 10.0
"""Seconds that the runner gets to end by itself after a worker died."""

_RAISED = re.compile(r"^(?:finehard\.errors\.)?(?:FinehardError|UsageError): (.*)$", re.MULTILINE)
_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b(?:: |$)")


def silence_beam() -> None:
    """Keeps Beam's loggers off the terminal: a failure is one line, from `root_cause`."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger("PrismJobServer").disabled = True  # Beam sets its level, then warns by it
    logging.getLogger().addFilter(_is_of_no_job)


def _is_of_no_job(record: logging.LogRecord) -> bool:
    """Returns False for what a job server says, which Beam repeats on the root logger."""
    return record.module != "portable_runner"


@contextlib.contextmanager
def watched_threads() -> Iterator[None]:
    """Ends this process if one of its worker processes dies: Beam would wait for it forever.

    Beam's thread that waits for a worker raises if the worker ended with an error. It does so too
    if the pipeline failed and is about to raise: that gets `_WORKER_GONE_S` to happen. What raises
    in the thread that reads a job's messages is raised in the main thread as well.
    """
    before, done = threading.excepthook, threading.Event()

    def on_thread_error(failed: threading.ExceptHookArgs) -> None:
        name = failed.thread.name if failed.thread else ""
        if name == "run_worker":
            if not done.wait(_WORKER_GONE_S):
                print(f"finehard: {_WORKER_GONE}", file=sys.stderr, flush=True)
                os._exit(1)
        elif name != "wait_until_finish_read":
            before(failed)

    threading.excepthook = on_thread_error
    try:
        yield
    finally:
        done.set()
        threading.excepthook = before


def root_cause(error: BaseException, parsed: PipelineOptions) -> str:
    """Returns the message for the user from the error that a runner wrapped around it; `parsed`
    are the options that it ran with."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FinehardError):
            return plain(str(cause))
        cause = cause.__cause__ or cause.__context__
    messages = _RAISED.findall(str(error))
    if messages:
        return plain(messages[-1])
    if known := _known(error, parsed.view_as(PortableOptions)):
        return known
    lines = [line for line in str(error).splitlines() if line.strip()]
    # a traceback's last exception, whose text may have several lines
    start = max((n for n, line in enumerate(lines) if _EXCEPTION.match(line)), default=0)
    last = " ".join(lines[start:]) if lines else type(error).__name__
    return plain(f"the pipeline failed: {last} (--debug shows more)")


def _known(error: BaseException, portable: PortableOptions) -> str | None:
    """Returns the line for a failure of a worker, a worker pool or a job server."""
    text = str(error)
    server = f"the job server at {portable.job_endpoint}" if portable.job_endpoint else "Prism"
    if "Channel closed prematurely" in text or "SDK worker disconnected" in text:
        return _WORKER_GONE
    if "didn't get control connection" in text:  # from Prism, after a minute
        return (
            f"no worker came from {_pool(portable)}: the first `python` on its PATH must be one "
            "with finehard and the same Beam; what its workers say is in its output"
        )
    if isinstance(error, grpc.FutureTimeoutError):
        return f"{server} does not answer: is it running, and --job_endpoint its address?"
    if isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE:
        pool = f" (Prism ends if {_pool(portable)} cannot be reached)"
        return (
            f"{server} is gone; its output says why{pool if portable.environment_config else ''}. "
            "Everything answered so far is kept: start it and run the same command again"
        )
    if found := re.search(r"Unable to fetch remote prism binary at (\S+):", text):
        return (
            f"Prism cannot be downloaded from {found[1]}: get it where you can, and say where it "
            "is with --prism_location=FILE"
        )
    return None


def _pool(portable: PortableOptions) -> str:
    where = portable.environment_config
    return f"the worker pool at {where}" if where else "the worker pool"


def plain(line: str) -> str:
    """Returns `line` without the step name that Beam adds."""
    line = re.sub(r"\s*\[while running '[^']*'\]", "", line)
    return " ".join(line.split())[:500]
