"""Builds a dataset: checks everything first, starts what is needed, runs the pipeline."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from finehard import registry
from finehard.config import Config
from finehard.dataset import complete
from finehard.dataset.layout import JOURNAL, MANIFEST, shard_count
from finehard.dataset.removals import Removals, record, recorded
from finehard.digest import json_digest
from finehard.errors import FinehardError, error_line
from finehard.io import storage
from finehard.lmm.dialect import Dialect
from finehard.preflight import Ready, preflight
from finehard.sources.identity import input_identity
from finehard.stages.stage import Stage
from finehard.state.lock import locked

if TYPE_CHECKING:
    from finehard.worker.runtime import Build

Progress = Callable[[dict[str, Any]], None]
"""Gets the counts of all worker processes once a second: images (the total), read, done, rejected,
through (those done that an earlier run had brought through all stages), and stages: in the
pipeline's order, each with done, from_journal, requests, tokens, ..."""

_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class Built(NamedTuple):
    """A finished build. `counts` are those that `Progress` got last."""

    output: str
    manifest: dict[str, Any]
    counts: dict[str, Any]
    seconds: float


def build(
    config: Config,
    source: str,
    output: str,
    *,
    pipeline: str | None = None,
    beam: Sequence[str] = (),
    limit: int | None = None,
    progress: Progress | None = None,
) -> Built:
    """Builds the images in `source` into the dataset `output`; with a `limit`, the first so many.

    `pipeline` is FILE.py[:function] (None: the bundled one), `beam` are options for the Beam
    runner. Prints nothing; messages go to the logger "finehard". Raises `UsageError` before
    anything is written, `FinehardError` when it fails; the same call then continues where it
    stopped.
    """
    from finehard.beam import run

    options = run.options(list(beam))
    stores = storage.configure(config.storage, run.storage_options(options))
    ready = preflight(config, source, output, pipeline, limit)
    assert ready.output is not None
    with locked(ready.output), contextlib.ExitStack() as stack:
        built = _build(ready, ready.output, options, stores, progress, stack)
    if built.manifest["counts"]["written"] == 0:
        [(reason, number)] = sorted(built.manifest["rejects"].items(), key=lambda r: -r[1])[:1]
        raise FinehardError(
            f"nothing could be written: all {built.manifest['counts']['read']} images were "
            f"rejected, {number} for {reason}; see {storage.join(ready.output, 'rejected')}"
        )
    return built


def _build(
    ready: Ready,
    output: str,
    options: Any,
    stores: storage.Options,
    progress: Progress | None,
    stack: contextlib.ExitStack,
) -> Built:
    from finehard.beam import run
    from finehard.state import begun, checkpoints, rehearsed
    from finehard.state.finished import finished_manifest, save_finished
    from finehard.state.settings_snapshot import refuse_changes, save_settings, settings_digest
    from finehard.worker import status
    from finehard.worker.runtime import close_all

    refuse_changes(output, ready.config, ready.stages)
    settings = settings_digest(ready.config, ready.stages, registry.user_code())
    identity = _input_identity(ready)
    removals = [*recorded(output), *ready.removals]
    removed = Removals(removals).digest()
    manifest = identity and finished_manifest(output, settings, identity, removed)
    if manifest:
        _log.info("%s is complete: same input, same settings; nothing is done", output)
        return Built(output, manifest, _counts({}, ready), 0.0)
    served = _start_server(ready.config, stack)
    stack.callback(close_all)
    dialects = _ask_servers(output, ready.config, served, ready.stages)
    this = _this_build(ready, output, stores, dialects, settings)
    for folder in (JOURNAL, "shards", "rejected"):
        storage.sweep(storage.join(output, folder))
    save_settings(output, ready.config, ready.stages)  # before the old manifest is removed
    if removals:
        record(output, removals)
    complete.begin(output)
    begun.begin(output, this.run)
    checkpoints.prepare(output, this.checkpoints)
    started = time.monotonic()
    _log.info("building %d images from %s into %s", ready.images, ready.source, output)

    def poll() -> dict[str, Any]:
        return _counts(status.total(output, this.run), ready)

    with _polled(poll, progress):
        try:
            run.run(lambda graph: ready.pipeline.construct(graph, ready.files, this), options)
        except FinehardError as error:
            rehearsed.forget(output)
            line = re.sub(r" \[while running '[^']*'\]$", "", str(error))  # Beam's
            raise FinehardError(poll()["fatal"] or line) from error
    try:
        close_all()
    except FinehardError as error:  # concerns only what is saved for a later run
        _log.warning("%s; the dataset is complete", error)
    manifest = json.loads(storage.read_all(storage.join(output, MANIFEST)))
    complete.remove_side_files(output, this.run)
    begun.end(output, this.run)
    counts, seconds = poll(), time.monotonic() - started
    storage.delete_tree(status.folder(output, this.run))
    _write_report(output, this.run, seconds, counts)
    if identity:
        save_finished(output, settings, identity, removed)
    return Built(output, manifest, counts, seconds)


def _counts(total: dict[str, Any], ready: Ready) -> dict[str, Any]:
    """Returns what `Progress` gets, from the sum of the workers' counts."""
    by_name = total.get("stages", {})
    stages = {stage.name: by_name.get(stage.name, {}) for stage in ready.stages}
    zeros = dict.fromkeys(("read", "done", "rejected", "through"), 0)
    return {**zeros, **total, "images": ready.images, "stages": stages}


def _input_identity(ready: Ready) -> str | None:
    """Returns a digest of the input as it is now; None where that cannot be told cheaply."""
    files = input_identity(ready.files)
    return files and json_digest([files, ready.source, ready.images, dict(ready.unread)])


def _this_build(
    ready: Ready,
    output: str,
    stores: storage.Options,
    dialects: dict[str, Dialect],
    settings: str,
) -> Build:
    """`settings` is a digest of them; the stages' limits are those of the servers."""
    from finehard.worker.runtime import Build

    return Build(
        config=ready.config,
        input=ready.source,
        output=output,
        shards=shard_count(ready.images, ready.config.shards),
        run=f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}",
        pickled_stages=pickle.dumps(ready.stages),
        code=registry.user_code(),
        bundled=ready.pipeline.bundled,
        dialects=dialects,
        unread=dict(ready.unread),
        storage=stores,
        checkpoints=json_digest([settings, [stage.limits.regions for stage in ready.stages]]),
    )


def _start_server(config: Config, stack: contextlib.ExitStack) -> Config:
    """Starts this machine's server where the config has one beside the command.

    Returns `config` with its address as the endpoint of the models it serves.
    """
    unserved = {name: m for name, m in config.models.items() if not m.endpoints}
    if not unserved or config.server is None or config.server.where != "driver":
        return config
    from finehard.serve import ensure_server

    _log.info("starting a server for %s ...", next(iter(unserved.values())).model)
    server = stack.enter_context(ensure_server(config.server.engine))  # workers here join it
    served = {
        name: replace(model, model=server.model, endpoints=server.base_urls)
        for name, model in unserved.items()
    }
    return replace(config, models={**config.models, **served})


def _ask_servers(
    output: str, config: Config, served: Config, stages: Sequence[Stage]
) -> dict[str, Dialect]:
    """Asks every endpoint of `served` a question of each stage that no earlier run with `config`
    asked about, and sets the stages' limits. Returns the servers' dialects by the models' names."""
    from finehard.rehearsal import Rehearsal, rehearse
    from finehard.state import rehearsed

    known = rehearsed.load(output, config, stages)
    found = rehearse(served, [s for s in stages if s.name not in known.limits], known.dialects)
    found = Rehearsal(known.dialects | found.dialects, known.limits | found.limits)
    rehearsed.save(output, config, stages, found)
    for stage in stages:
        stage.limits = found.limits[stage.name]
    for line in found.lines():
        _log.info("%s", line)
    return found.dialects


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


def _write_report(output: str, run: str, seconds: float, counts: dict[str, Any]) -> None:
    """Writes report.html; a dataset is whole without one, so a failure is only logged."""
    from finehard.report import report
    from finehard.state.runs import record_run

    try:
        record_run(output, run, seconds, counts["stages"])
        report(output)
    except Exception as error:
        line = error_line(error, 200)
        _log.warning(
            "no report.html (%s: %s); the dataset is complete, try: finehard report %s",
            type(error).__name__, line, shlex.quote(output),
        )  # fmt: skip
