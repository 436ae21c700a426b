"""The build command: progress, the summary, and signals."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from finehard.building import build, join, start
from finehard.config import Config
from finehard.console.messages import log_to_stderr
from finehard.console.progress import ProgressDisplay
from finehard.dataset.unread import unread_line
from finehard.ending import Built
from finehard.errors import UsageError, error_line
from finehard.following import Followed, cancel_followed, followed
from finehard.state.current_run import Job

_CLOSE_S = 8.0
"""Seconds that a stopped build may take to save its answers, or to cancel its job."""
DETACH = "--detach"


def run_build(
    config: Config,
    source: str,
    output: str,
    pipeline: str | None = None,
    beam: Sequence[str] = (),
    limit: int | None = None,
    joining: bool = False,
    detach: bool = False,
) -> None:
    """Builds, showing progress on standard error, and prints the summary; together with others if
    `joining`: then only one of them has a summary. If `detach`, it leaves a job that runs."""
    if joining and detach:
        raise UsageError(f"{DETACH} leaves a job of a runner; a process that joins has none")
    run = join if joining else start if detach else build
    with running() as progress:
        made = run(
            config, source, output, pipeline=pipeline, beam=beam, limit=limit, progress=progress
        )
    if isinstance(made, Job):
        words = [word for word in sys.argv[1:] if word != DETACH]
        print(f"{made} goes on by itself. To watch and finish it: "
              f"{shlex.join(['finehard', *words])}; to cancel it: {_cancels(output)}")  # fmt: skip
    elif made is not None:
        print(summary(made))


@contextlib.contextmanager
def running() -> Iterator[ProgressDisplay]:
    """Shows messages and progress on standard error, and stops on signals, while the block runs."""
    log_to_stderr()
    with _stops_on_signals(), ProgressDisplay() as progress:
        yield progress


@contextlib.contextmanager
def _stops_on_signals() -> Iterator[None]:
    """On SIGINT and SIGTERM, saves the answers, cancels the job of a runner that would go on by
    itself, prints the command that continues, and exits. Meanwhile a second signal leaves such a
    job as it is."""
    leaving: list[threading.Thread] = []

    def stop(number: int, _: object) -> None:
        if leaving:
            if job := followed():
                _exit(number, f"left at once: {_may_go_on(job)}")
            return

        def leave() -> None:
            job = followed()
            said = _cancelled(job) if job else _closed()
            command = shlex.join(["finehard", *sys.argv[1:]])
            _exit(number, f"{said}; everything answered so far is kept. To go on: {command}")

        leaving.append(threading.Thread(target=leave))
        leaving[0].start()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for thread in leaving:  # which ends the process
            thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, line: str) -> None:
    print(f"\nfinehard: {line}", file=sys.stderr, flush=True)
    os._exit(128 + number)


def _closed() -> str:
    from finehard.worker.runtime import close_all

    closing = threading.Thread(target=close_all, daemon=True)
    closing.start()
    closing.join(_CLOSE_S)
    return "stopped"


def _cancelled(job: Followed) -> str:
    """Cancels `job`; returns what came of it."""
    failed = [f"no answer in {_CLOSE_S:.0f} s"]

    def cancel() -> None:
        try:
            cancel_followed()
            failed.clear()
        except Exception as error:
            failed[:] = [error_line(error, 100)]

    cancelling = threading.Thread(target=cancel, daemon=True)
    cancelling.start()
    cancelling.join(_CLOSE_S)
    return f"stopped: {_may_go_on(job)} ({failed[0]})" if failed else f"cancelled {job.job}"


def _may_go_on(job: Followed) -> str:
    return f"{job.job} may go on; to cancel it: {_cancels(job.output)}"


def _cancels(output: str) -> str:
    return shlex.join(["finehard", "cancel", output])


def summary(built: Built) -> str:
    """Returns the numbers of inputs, rejects and requests in a few lines."""
    counts, manifest = built.manifest["counts"], built.manifest
    lines = [
        f"{counts['read']} read = {counts['written']} written + {counts['rejected']} rejected, "
        f"{counts['regions']} regions, {counts['hard_negatives']} hard negatives, "
        f"in {built.seconds:.0f} s"
    ]
    if manifest["rejects"]:
        reasons = (f"{reason} {number}" for reason, number in manifest["rejects"].items())
        lines.append("rejected for " + ", ".join(reasons))
    if unread := manifest.get("unread"):
        lines.append(unread_line(unread))
    if counts["renamed_keys"]:
        lines.append(f"{counts['renamed_keys']} keys occurred before and were made unique (KEY~2)")
    requests, retries, invalid, unusable, journaled = (
        _total(built.counts, name)
        for name in ("requests", "retries", "invalid", "unusable", "from_journal")
    )
    if through := built.counts["through"]:
        lines.append(f"{through} images had been brought through all stages by an earlier run")
    lines.append(
        f"{requests} requests ({retries + invalid + unusable} of them second tries), "
        f"{journaled} answers from the journal"
    )
    lines.append(f"dataset: {built.output} (look at report.html, README.md, rejected/)")
    return "\n".join(lines)


def _total(counts: dict[str, Any], name: str) -> int:
    return sum(stage.get(name, 0) for stage in counts["stages"].values())
