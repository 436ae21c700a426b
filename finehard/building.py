"""Builds a dataset: checks everything first, starts what is needed, runs the pipeline."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from finehard import registry
from finehard.config import Config
from finehard.dataset import complete
from finehard.dataset.layout import JOURNAL, MANIFEST, shard_count
from finehard.digest import json_digest
from finehard.errors import FinehardError, UsageError, error_line
from finehard.io import storage
from finehard.lmm.dialect import Dialect
from finehard.preflight import Ready, preflight
from finehard.running import Progress, counts_of, removals_of, run_pipeline, save_asked, with_zeros
from finehard.sources.identity import input_identity
from finehard.stages.stage import Stage
from finehard.state import checkpoints, current_run, members
from finehard.state.finished import finished_manifest, save_finished
from finehard.state.lock import locked
from finehard.state.runs import new_run, record_run
from finehard.state.settings_snapshot import refuse_changes, settings_digest

if TYPE_CHECKING:
    from finehard.worker.runtime import Build

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

    `pipeline` is FILE.py[:function] or a bundled one's name (None: build_finehard), `beam` are
    options for the Beam runner. Prints nothing; messages go to the logger "finehard". Raises
    `UsageError` before anything is written, `FinehardError` when it fails; the same call then
    continues where it stopped.
    """
    begun = _begin(config, source, output, pipeline, beam, limit)
    with locked(begun.output), contextlib.ExitStack() as stack:
        finished = _finished(begun)
        if finished is not None:
            return finished
        return _write(begun, _prepare(begun, stack), progress)


def join(
    config: Config,
    source: str,
    output: str,
    *,
    pipeline: str | None = None,
    beam: Sequence[str] = (),
    limit: int | None = None,
    progress: Progress | None = None,
) -> Built | None:
    """As `build`, together with all processes that call it with the same settings and input: each
    asks its own servers about images that no other does, and one of them writes the shards.

    Returns None in the others. One that ends without is replaced by those that are left.
    """
    from finehard.beam import run
    from finehard.joining import is_written, joined

    begun = _begin(config, source, output, pipeline, beam, limit)
    if not run.in_this_process(begun.options):
        raise UsageError(
            "joining: each process runs its own part, without a runner or workers of Beam; start "
            "the same command more often instead"
        )
    watch = members.Watch(begun.output)
    if is_written(watch):
        return None
    with contextlib.ExitStack() as stack:
        finished = _finished(begun)
        if finished is not None:
            return finished
        this = _prepare(begun, stack)
        finished = _finished(begun)  # by others, while a server was started
        if finished is not None:
            return finished
        with joined(watch, begun.ready, this, begun.settings, begun.options, progress) as is_writer:
            return _write(begun, replace(this, run=new_run()), progress) if is_writer else None


class _Begun(NamedTuple):
    """What is known before anything is started. `settings` and `identity` are digests, of all
    settings that decide the dataset, and of the input as it is now: None where that cannot be told
    cheaply."""

    ready: Ready
    output: str
    options: Any
    stores: storage.Options
    settings: str
    identity: str | None


def _begin(
    config: Config,
    source: str,
    output: str,
    pipeline: str | None,
    beam: Sequence[str],
    limit: int | None,
) -> _Begun:
    from finehard.beam import run

    options = run.options(list(beam))
    stores = storage.configure(config.storage, run.storage_options(options))
    ready = preflight(config, source, output, pipeline, limit)
    assert ready.output is not None
    settings = settings_digest(ready.config, ready.stages, registry.user_code())
    return _Begun(ready, ready.output, options, stores, settings, _input_identity(ready))


def _finished(begun: _Begun) -> Built | None:
    """Returns the dataset if it is finished, from this input with these settings."""
    ready, output = begun.ready, begun.output
    refuse_changes(output, ready.config, ready.stages)
    manifest = begun.identity and finished_manifest(
        output, begun.settings, begun.identity, removals_of(output, ready).digest()
    )
    if not manifest:
        return None
    _log.info("%s is complete: same input, same settings; nothing is done", output)
    return _built(output, manifest, with_zeros({}, ready), 0.0)


def _prepare(begun: _Begun, stack: contextlib.ExitStack) -> Build:
    """Starts this machine's server where there is to be one, and asks all servers what they
    take."""
    from finehard.worker.runtime import close_all

    ready, output = begun.ready, begun.output
    served = _start_server(ready.config, stack)
    stack.callback(close_all)
    dialects = _ask_servers(output, ready.config, served, ready.stages)
    return _this_build(ready, output, begun.stores, dialects, begun.settings)


def _write(begun: _Begun, this: Build, progress: Progress | None) -> Built:
    """Runs the whole pipeline and completes the dataset. Nobody else may build it meanwhile."""
    from finehard.worker import status
    from finehard.worker.runtime import close_all

    ready, output = begun.ready, begun.output
    for folder in (JOURNAL, "shards", "rejected"):
        storage.sweep(storage.join(output, folder))
    save_asked(output, ready)  # before the old manifest is removed
    complete.begin(output)
    current_run.begin(output, this.run)
    checkpoints.prepare(output, this.checkpoints)
    started = time.monotonic()
    _log.info("building %d images from %s into %s", ready.images, ready.source, output)
    run_pipeline(ready, this, begun.options, progress)
    try:
        close_all()
    except FinehardError as error:  # concerns only what is saved for a later run
        _log.warning("%s; the dataset is complete", error)
    manifest = json.loads(storage.read_all(storage.join(output, MANIFEST)))
    complete.remove_side_files(output, this.run)
    current_run.end(output, this.run)
    members.forget(output)
    counts, seconds = counts_of(ready, this), time.monotonic() - started
    storage.delete_tree(status.folder(output, this.run))
    _write_report(output, this.run, seconds, counts)
    if begun.identity:
        removed = removals_of(output, ready).digest()
        save_finished(output, begun.settings, begun.identity, removed)
    return _built(output, manifest, counts, seconds)


def _built(output: str, manifest: dict[str, Any], counts: dict[str, Any], seconds: float) -> Built:
    if manifest["counts"]["written"] == 0:
        [(reason, number)] = sorted(manifest["rejects"].items(), key=lambda r: -r[1])[:1]
        raise FinehardError(
            f"nothing could be written: all {manifest['counts']['read']} images were "
            f"rejected, {number} for {reason}; see {storage.join(output, 'rejected')}"
        )
    return Built(output, manifest, counts, seconds)


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
        run=new_run(),
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


def _write_report(output: str, run: str, seconds: float, counts: dict[str, Any]) -> None:
    """Writes report.html; a dataset is whole without one, so a failure is only logged."""
    from finehard.report import report

    try:
        record_run(output, run, seconds, counts["stages"])
        report(output)
    except Exception as error:
        line = error_line(error, 200)
        _log.warning(
            "no report.html (%s: %s); the dataset is complete, try: finehard report %s",
            type(error).__name__, line, shlex.quote(output),
        )  # fmt: skip
