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

from finehard.building import Built, build, join
from finehard.config import Config
from finehard.console.messages import log_to_stderr
from finehard.console.progress import ProgressDisplay
from finehard.dataset.unread import unread_line

_CLOSE_S = 8.0
"""Seconds that a stopped build may take to save its answers."""


def run_build(
    config: Config,
    source: str,
    output: str,
    pipeline: str | None = None,
    beam: Sequence[str] = (),
    limit: int | None = None,
    joining: bool = False,
) -> None:
    """Builds, showing progress on standard error, and prints the summary; together with others if
    `joining`: then only one of them has a summary."""
    run = join if joining else build
    with running() as progress:
        built = run(
            config, source, output, pipeline=pipeline, beam=beam, limit=limit, progress=progress
        )
    if built is not None:
        print(summary(built))


@contextlib.contextmanager
def running() -> Iterator[ProgressDisplay]:
    """Shows messages and progress on standard error, and stops on signals, while the block runs."""
    log_to_stderr()
    with _stops_on_signals(), ProgressDisplay() as progress:
        yield progress


@contextlib.contextmanager
def _stops_on_signals() -> Iterator[None]:
    """On SIGINT and SIGTERM, saves the answers, prints the command that continues, and exits."""

    def stop(number: int, _: object) -> None:
        def leave() -> None:
            from finehard.worker.runtime import close_all

            closing = threading.Thread(target=close_all, daemon=True)
            closing.start()
            closing.join(_CLOSE_S)
            command = shlex.join(["finehard", *sys.argv[1:]])
            print(
                f"\nfinehard: stopped; everything answered so far is kept. To go on: {command}",
                file=sys.stderr,
                flush=True,
            )
            os._exit(128 + number)

        threading.Thread(target=leave).start()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
