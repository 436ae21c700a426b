"""The job that this command waits for: cancelled when the command is told to end."""

from __future__ import annotations

from typing import Any, NamedTuple

from finehard.state import current_run
from finehard.state.current_run import Job


class Followed(NamedTuple):
    """A job, what it builds, and Beam's result to ask and cancel it by."""

    output: str
    run: str
    job: Job
    result: Any


_followed: Followed | None = None


def follow(output: str, run: str, job: Job, result: Any) -> None:
    """Makes `job`, which builds `output` as `run`, the one that this command waits for."""
    global _followed
    _followed = Followed(output, run, job, result)


def unfollow() -> None:
    """Forgets the job: it has ended, or is left to itself."""
    global _followed
    _followed = None


def followed() -> Followed | None:
    """Returns the job that this command waits for, if there is one."""
    return _followed


def cancel_followed() -> None:
    """Cancels the job that this command waits for. Its workers end at their next unit even where
    the runner only says that it is cancelled."""
    if (job := _followed) is not None:
        try:
            job.result.cancel()
        finally:
            current_run.end(job.output, job.run)


def why_cancelled() -> str:
    """Returns a message if the job that this command waits for was cancelled, else ""."""
    if _followed is None:
        return ""
    from finehard.beam import jobs

    if not jobs.is_cancelled(_followed.result):
        return ""
    return (
        f"{_followed.job} was cancelled; everything answered so far is kept: to go on, run the "
        "same command again"
    )
