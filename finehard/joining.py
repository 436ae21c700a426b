"""Joins the processes that build an output: each asks about units of its own, one writes shards."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from finehard.dataset.complete import remove_side_files
from finehard.dataset.layout import JOINED, JOURNAL
from finehard.digest import json_digest
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.preflight import Ready
from finehard.running import Progress, counts_of, removals_of, run_pipeline, save_asked
from finehard.state.claims import Claims, writer
from finehard.state.lease import BuiltBy
from finehard.state.lock import locked, shared
from finehard.state.members import Watch, member, members, name_of, refuse_others, wait_until_alone
from finehard.state.runs import record_run
from finehard.worker import status
from finehard.worker.runtime import Build, close_all, runtime
from finehard.worker.shares import Joined

_log = logging.getLogger(__name__)


def is_written(watch: Watch) -> bool:
    """Returns whether a process that joined is writing the shards. Raises `FinehardError` if a
    single build holds the output, or none can join there."""
    output = watch.output
    if not storage.can_create(storage.join(output, JOURNAL, JOINED)):
        raise FinehardError(
            f"{output}: this store has no conditional writes, by which processes that join share "
            "the work: build on a shared disk, S3, Google Cloud Storage or Azure"
        )
    one = writer(watch)
    writing = None if one is None else name_of(one)
    if writing is None:
        try:
            with shared(output):
                return False
        except BuiltBy as built:  # the writer deletes all claims before it ends
            writing = built.holder.partition(",")[0]
            if writing not in map(name_of, members(output)):
                raise
    _log.info("all images are through, and %s writes the dataset: nothing is left to do here",
              writing)  # fmt: skip
    return True


@contextlib.contextmanager
def joined(
    watch: Watch,
    ready: Ready,
    build: Build,
    settings: str,
    options: Any,
    progress: Progress | None,
) -> Iterator[bool]:
    """Brings through, as `build`, all units that no other process does, until all are through.

    Yields whether this process is to write the shards, for which it then has `output` for itself.
    Raises `FinehardError` if a single build holds it, or others build it with other `settings`.
    """
    output = build.output
    notes = _notes(output, ready, settings)
    with member(output, notes) as me:
        if is_written(watch):
            yield False
            return
        with shared(output):
            refuse_others(watch, me, notes)
            save_asked(output, ready)
            try:
                this = replace(build, joined=Joined(me, json_digest(notes)))
                _bring_through(ready, this, options, progress)
            finally:
                close_all()  # before others may take over what is left
            is_writer = Claims(watch, me).take_writing()
        if not is_writer:
            _log.info("another process writes the dataset: nothing is left to do here")
            yield False
            return
        wait_until_alone(output, me)
        with locked(output, me), contextlib.ExitStack() as stack:
            stack.callback(close_all)
            yield True


def _bring_through(ready: Ready, build: Build, options: Any, progress: Progress | None) -> None:
    _log.info("joined: %d images from %s into %s", ready.images, ready.source, build.output)
    here, started = runtime(build), time.monotonic()
    assert here.shares is not None
    while here.shares.wait(ready.files):
        run_pipeline(ready, build, options, progress)
        here.journal.flush()
    close_all()
    counts = counts_of(ready, build.output, build.run)
    _log.info("%d images brought through here; all units are done", counts["done"])
    record_run(build.output, build.run, time.monotonic() - started, counts["stages"])
    storage.delete_tree(status.folder(build.output, build.run))
    remove_side_files(build.output, build.run)


def _notes(output: str, ready: Ready, settings: str) -> dict[str, str]:
    files = [[file.uri, file.size, file.samples] for file in ready.files]
    return {
        "settings (or another finehard)": settings,
        "input": json_digest([ready.source, ready.images, files]),
        "removals": removals_of(output, ready).digest(),
        "limits of its servers": json_digest([stage.limits.regions for stage in ready.stages]),
    }
