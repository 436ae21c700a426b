"""A build's job that outlives its command: recorded, attached to by a later command, cancelled."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

from finehard.errors import FinehardError
from finehard.following import follow
from finehard.io import storage
from finehard.preflight import Ready
from finehard.running import Progress, watched
from finehard.state import current_run
from finehard.state.current_run import Job, MadeOf, Run

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
"""Seconds between two looks at whether a submitted job runs."""


def recorder(output: str, run: str, options: Any, detach: bool) -> Callable[[Any], bool]:
    """Returns a function of the result of `run` that records its job, if that outlives this
    command, and tells whether to wait for its end: not if `detach`, once its work has begun."""
    from finehard.beam.run import in_this_process

    if in_this_process(options):
        return lambda _: True
    from finehard.beam import jobs

    jobs.name_job(options, run)
    runner = jobs.runner_of(options)  # Beam clears it

    def submitted(result: Any) -> bool:
        job = jobs.job_of(result, options, runner)
        if job is None:
            return True
        current_run.submitted(output, run, job)
        follow(output, run, job, result)
        while detach and jobs.is_live(result):
            if jobs.is_running(result):
                return False
            time.sleep(_LOOK_S)
        return True

    return submitted


def earlier_run(
    ready: Ready,
    output: str,
    made_of: MadeOf,
    options: Any,
    progress: Progress | None,
    detach: bool = False,
) -> Run | Job | None:
    """Returns the run that an earlier command left, once it has written the dataset: if its job is
    live, this waits for it, or returns the job at once if `detach`. None if no such run was left.

    Raises `FinehardError` if the job fails, or makes a dataset that is not `made_of` the same.
    """
    from finehard.beam.run import wait_for

    run = current_run.last(output)
    if run is None:
        return None
    if current_run.completed_at(output, run.name) is not None:
        return run if run.made_of == made_of else None
    result = _live(run, options)
    if result is None or run.job is None:
        return None
    if run.made_of != made_of:
        raise _built_by(output, run.job, "with other settings or input")
    follow(output, run.name, run.job, result)
    if detach:
        return run.job
    _log.info("%s builds %s already: waiting for it", run.job, output)
    watched(ready, output, run.name, progress, lambda: wait_for(lambda: result, options))
    return run


def refuse_job(output: str, options: Any) -> None:
    """Raises `FinehardError` if a job builds `output`."""
    run = current_run.last(output)
    if run is not None and run.job is not None and _live(run, options) is not None:
        raise _built_by(output, run.job, "which no process can join")


def cancel(output: str, beam: Sequence[str] = ()) -> Job:
    """Cancels the job that builds `output`, and returns it. `beam` are options for the runner.

    Raises `FinehardError` if there is none, or its service cannot be reached; its workers then end
    at their next unit all the same.
    """
    from finehard.beam import jobs
    from finehard.beam.run import options, storage_options

    parsed = options(list(beam))
    storage.configure(storage_options(parsed))
    output = storage.local(output)
    run = current_run.last(output)
    if run is None or run.job is None:
        raise FinehardError(f"no job builds {output}")
    if current_run.completed_at(output, run.name) is None:
        try:
            result = jobs.find(run.job, parsed)
            if result is not None and jobs.is_live(result):
                result.cancel()
                return run.job
        finally:
            current_run.end(output, run.name)
    raise FinehardError(f"{run.job}, which built {output}, has ended before")


def _live(run: Run, options: Any) -> Any:
    """Returns the job of `run`, if it has not ended; else None."""
    from finehard.beam import jobs

    if run.job is None:
        return None
    try:
        result = jobs.find(run.job, options)
        return result if result is not None and jobs.is_live(result) else None
    except FinehardError as error:
        if jobs.same_service(run.job, options):  # nor could another job be submitted
            raise
        _log.info("%s; if it goes on, its workers end at their next unit", error)
        return None


def _built_by(output: str, job: Job, why: str) -> FinehardError:
    return FinehardError(
        f"{output} is being built by {job}, {why}: wait for it with the command that started it, "
        f"or cancel it: finehard cancel {shlex.quote(output)}"
    )
