"""Builds a dataset: checks everything first, starts what is needed, runs the pipeline."""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from finehard import registry
from finehard.attaching import earlier_run, recorder, refuse_job
from finehard.config import Config
from finehard.dataset import complete
from finehard.dataset.layout import JOURNAL, shard_count
from finehard.digest import json_digest
from finehard.ending import Built, built, end_run
from finehard.errors import FinehardError, UsageError
from finehard.following import followed, unfollow
from finehard.io import storage
from finehard.lmm.dialect import Dialect
from finehard.preflight import Ready, preflight
from finehard.running import Progress, removals_of, run_pipeline, save_asked, with_zeros
from finehard.sources.identity import input_identity
from finehard.stages.stage import Stage
from finehard.state import checkpoints, current_run, members
from finehard.state.current_run import Job, MadeOf
from finehard.state.finished import finished_manifest
from finehard.state.lock import locked
from finehard.state.runs import new_run
from finehard.state.settings_snapshot import refuse_changes, settings_digest

if TYPE_CHECKING:
    from finehard.worker.runtime import Build

_log = logging.getLogger(__name__)


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
    made = _build(_begin(config, source, output, pipeline, beam, limit), progress, detach=False)
    assert isinstance(made, Built)
    return made


def start(
    config: Config,
    source: str,
    output: str,
    *,
    pipeline: str | None = None,
    beam: Sequence[str] = (),
    limit: int | None = None,
    progress: Progress | None = None,
) -> Built | Job:
    """As `build`, but returns the job as soon as it runs, and leaves it to itself: the same call,
    or `build`, finds it. Raises `UsageError` if the build would end with this process."""
    from finehard.beam import jobs, run

    if not jobs.lasts(run.options(list(beam))):
        raise UsageError(
            "--detach: the build would end with this command; it needs Dataflow, or a job service "
            "(--job_endpoint) with workers of its own (--environment_type)"
        )
    if _serves_here(config):
        raise UsageError(
            "--detach: the config's model server would end with this command: start one that "
            "stays, and list it in models.*.endpoints, or set server.where: worker"
        )
    begun = _begin(config, source, output, pipeline, beam, limit)
    return _build(begun, progress, detach=True)


def _build(begun: _Begun, progress: Progress | None, detach: bool) -> Built | Job:
    with locked(begun.output), contextlib.ExitStack() as stack:
        stack.callback(unfollow)
        made_of = _made_of(begun)
        left = earlier_run(begun.ready, begun.output, made_of, begun.options, progress, detach)
        if isinstance(left, Job):
            return left
        if left is not None:
            return end_run(
                begun.ready, begun.output, left.name, left.began, made_of, begun.identity
            )
        finished = _finished(begun)
        if finished is not None:
            return finished
        return _write(begun, _prepare(begun, stack), progress, detach)


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
    refuse_job(begun.output, begun.options)
    with contextlib.ExitStack() as stack:
        finished = _finished(begun)
        if finished is not None:
            return finished
        this = _prepare(begun, stack)
        finished = _finished(begun)  # by others, while a server was started
        if finished is not None:
            return finished
        with joined(watch, begun.ready, this, begun.settings, begun.options, progress) as is_writer:
            made = _write(begun, replace(this, run=new_run()), progress) if is_writer else None
            assert not isinstance(made, Job)
            return made


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
    return built(output, manifest, with_zeros({}, ready), 0.0)


def _prepare(begun: _Begun, stack: contextlib.ExitStack) -> Build:
    """Starts this machine's server where there is to be one, and asks all servers what they
    take."""
    from finehard.worker.runtime import close_all

    ready, output = begun.ready, begun.output
    served = _start_server(ready.config, stack)
    stack.callback(close_all)
    dialects = _ask_servers(output, ready.config, served, ready.stages)
    return _this_build(ready, output, begun.stores, dialects, begun.settings)


def _write(
    begun: _Begun, this: Build, progress: Progress | None, detach: bool = False
) -> Built | Job:
    """Runs the whole pipeline and completes the dataset. Nobody else may build it meanwhile.

    If `detach`, it returns the job instead as soon as that runs.
    """
    from finehard.worker.runtime import close_all

    ready, output = begun.ready, begun.output
    save_asked(output, ready)  # before the old manifest is removed
    made_of, began = _made_of(begun), time.time()
    current_run.begin(output, this.run, made_of)  # workers of earlier runs end
    for folder in (JOURNAL, "shards", "rejected"):
        storage.sweep(storage.join(output, folder))
    complete.begin(output)
    checkpoints.prepare(output, this.checkpoints)
    _log.info("building %d images from %s into %s", ready.images, ready.source, output)
    submitted = recorder(output, this.run, begun.options, detach)
    waited = run_pipeline(ready, this, begun.options, progress, submitted)
    if not waited and (job := followed()) is not None:
        return job.job
    try:
        close_all()
    except FinehardError as error:  # concerns only what is saved for a later run
        _log.warning("%s; the dataset is complete", error)
    return end_run(ready, output, this.run, began, made_of, begun.identity)


def _made_of(begun: _Begun) -> MadeOf:
    ready = begun.ready
    known = begun.identity or json_digest([ready.source, ready.images, dict(ready.unread)])
    removals = removals_of(begun.output, ready).digest()
    return {"settings": begun.settings, "input": known, "removals": removals}


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


def _serves_here(config: Config) -> bool:
    """Returns whether there is to be a server beside the command."""
    here = config.server is not None and config.server.where == "driver"
    return here and not all(model.endpoints for model in config.models.values())


def _start_server(config: Config, stack: contextlib.ExitStack) -> Config:
    """Starts this machine's server where the config has one beside the command.

    Returns `config` with its address as the endpoint of the models it serves.
    """
    if config.server is None or not _serves_here(config):
        return config
    from finehard.serve import ensure_server

    unserved = {name: m for name, m in config.models.items() if not m.endpoints}
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
