"""Runs the pipeline of a build, and tells how far it is while it runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from finehard.dataset.removals import Removals, record, recorded
from finehard.errors import FinehardError
from finehard.following import why_cancelled
from finehard.preflight import Ready
from finehard.state.settings_snapshot import save_settings

if TYPE_CHECKING:
    from finehard.worker.runtime import Build

Progress = Callable[[dict[str, Any]], None]
"""Gets the counts of all worker processes once a second: images (the total), read, done, rejected,
through (those done that an earlier run had brought through all stages), and stages: in the
pipeline's order, each with done, from_journal, requests, tokens, ..."""

_EVERY_S = 1.0


def removals_of(output: str, ready: Ready) -> Removals:
    """Returns what `output` leaves out, on request before or now."""
    return Removals([*recorded(output), *ready.removals])


def save_asked(output: str, ready: Ready) -> None:
    """Saves the settings that `output` is built with from now on, and what it leaves out."""
    save_settings(output, ready.config, ready.stages)
    if removals := [*recorded(output), *ready.removals]:
        record(output, removals)


def run_pipeline(
    ready: Ready,
    build: Build,
    options: Any,
    progress: Progress | None,
    submitted: Callable[[Any], bool] = lambda _: True,
) -> bool:
    """Runs the pipeline of `ready` as `build`, with `options` for Beam. `submitted` gets Beam's
    result once it runs, and returns whether to wait for its end; so does this. Raises
    `FinehardError` if it fails: then the next run asks the servers what they take."""
    from finehard.beam import run

    def construct(graph: Any) -> Any:
        return ready.pipeline.construct(graph, ready.files, build)

    def to_its_end() -> Any:
        return run.run(construct, options, submitted)

    return watched(ready, build.output, build.run, progress, to_its_end) is not None


def watched(
    ready: Ready, output: str, run: str, progress: Progress | None, wait: Callable[[], Any]
) -> Any:
    """Returns what `wait` returns at the end of `run`, whose progress is told until then. Raises
    `FinehardError` if it fails, after which the next run asks the servers what they take, or if its
    job is cancelled."""
    from finehard.state import rehearsed

    with _polled(lambda: counts_of(ready, output, run), progress):
        try:
            return wait()
        except FinehardError as error:
            if cancelled := why_cancelled():
                raise FinehardError(cancelled) from error
            rehearsed.forget(output)
            raise FinehardError(counts_of(ready, output, run)["fatal"] or str(error)) from error


def counts_of(ready: Ready, output: str, run: str) -> dict[str, Any]:
    """Returns what `Progress` gets, from the counts of the workers of `run`."""
    from finehard.worker import status

    return with_zeros(status.total(output, run), ready)


def with_zeros(total: dict[str, Any], ready: Ready) -> dict[str, Any]:
    """Returns the counts in `total`, zeros for what it lacks."""
    by_name = total.get("stages", {})
    stages = {stage.name: by_name.get(stage.name, {}) for stage in ready.stages}
    zeros = dict.fromkeys(("read", "done", "rejected", "through"), 0)
    return {**zeros, **total, "images": ready.images, "stages": stages}


@contextlib.contextmanager
def _polled(poll: Callable[[], dict[str, Any]], progress: Progress | None) -> Iterator[None]:
    """Calls `progress` from a thread while the block runs."""
    if progress is None:
        yield
        return
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(_EVERY_S):
            progress(poll())

    thread = threading.Thread(target=run, name="finehard-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
