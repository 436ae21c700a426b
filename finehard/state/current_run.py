"""The run that builds an output: a file that the command writes and that its workers look for.

A worker that does not find it does not see the output, because the disk is not shared; or another
run has begun since, as when a command was killed and its job on a cluster was not. A later command
finds there what the run makes, and the job that it left.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from finehard import __version__
from finehard.dataset.layout import MANIFEST
from finehard.errors import FinehardError
from finehard.io import storage

_FOLDER = "_begun"
"""In the journal's folder."""
_COMPLETE = ".complete"

MadeOf = Mapping[str, str]
"""Digests of what a dataset is made of: its settings, its input, and what it leaves out."""


class Job(NamedTuple):
    """A job that goes on without the command that submitted it, and where to ask about it: at the
    job service at `endpoint`, or in a `project` and `region` of Google Cloud. Some job services
    count their jobs, and from 1 again when they are started again: the `name` is this job's own."""

    runner: str
    id: str
    name: str
    endpoint: str = ""
    project: str = ""
    region: str = ""

    def __str__(self) -> str:
        return f"job {self.id} at {self.endpoint or f'{self.project}/{self.region}'}"


class Run(NamedTuple):
    """A run that has begun and was not ended by its command. `began` is in seconds since 1970."""

    name: str
    began: float
    made_of: MadeOf
    job: Job | None


def begin(output: str, run: str, made_of: MadeOf = MappingProxyType({})) -> None:
    """Makes `run` the one that builds `output`: workers of others end at their next unit."""
    storage.delete_tree(_folder(output))
    _write(output, run, {**_versions(), "began": time.time(), "made_of": dict(made_of)})


def submitted(output: str, run: str, job: Job) -> None:
    """Records that `job` is what `run` runs in."""
    _write(output, run, {**_read(output, run), "job": job._asdict()})


def completed(output: str, run: str) -> None:
    """Records that `run` has written the whole dataset, the manifest last."""
    made = {"manifest": _manifest(output), "at": time.time()}
    storage.write(_file(output, run + _COMPLETE), json.dumps(made).encode())


def completed_at(output: str, run: str) -> float | None:
    """Returns when `run` had written the whole dataset, in seconds since 1970; None if it has not,
    or another has written since."""
    try:
        made = _read(output, run + _COMPLETE)
        same = made["manifest"] == _manifest(output)
        return float(made["at"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def last(output: str) -> Run | None:
    """Returns the run that began last, unless its command ended it or it cannot be told."""
    for file in storage.glob(_folder(output), ""):
        name = file.uri.rsplit("/", 1)[1]
        if name.endswith(_COMPLETE):
            continue
        try:
            values = _read(output, name)
            job = Job(**values["job"]) if "job" in values else None
            return Run(name, float(values["began"]), values["made_of"], job)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def end(output: str, run: str) -> None:
    """Forgets `run`, which has ended; workers that it still has end at their next unit."""
    storage.delete([_file(output, run), _file(output, run + _COMPLETE)])


def check_worker(output: str, run: str) -> None:
    """Raises `FinehardError` if this process cannot work for `run`: it does not see `output`, has
    another Python or finehard, or another run has begun."""
    try:
        theirs = _read(output, run)
    except FileNotFoundError:
        raise FinehardError(_why_gone(output)) from None
    for name, own in _versions().items():
        if theirs.get(name) != own:
            raise FinehardError(
                f"the worker on {socket.gethostname()} has {name} {own}, the command that runs the "
                f"build has {theirs.get(name)}: give the workers' image or environment the same"
            )


def check_current(output: str, run: str) -> None:
    """Raises `FinehardError` if another run of `output` than `run` has begun, or `run` has ended
    for its command."""
    if not storage.exists(_file(output, run)):
        raise FinehardError(_why_gone(output))


def _why_gone(output: str) -> str:
    if storage.glob(_folder(output), ""):
        return f"another build of {output} has begun since; this one ends here"
    if storage.glob(storage.join(output, storage.JOURNAL), ""):
        return f"this build of {output} was cancelled; it ends here"
    return (
        f"the worker on {socket.gethostname()} does not see {output}: mount the same disk there, "
        "under the same path, or build into an object store"
    )


def _versions() -> dict[str, Any]:
    return {"Python": "{}.{}".format(*sys.version_info), "finehard": __version__}


def _read(output: str, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(storage.read_all(_file(output, name)))
    return values


def _write(output: str, name: str, values: dict[str, Any]) -> None:
    storage.write(_file(output, name), json.dumps(values).encode())


def _manifest(output: str) -> str:
    return hashlib.sha256(storage.read_all(storage.join(output, MANIFEST))).hexdigest()


def _folder(output: str) -> str:
    return storage.join(output, storage.JOURNAL, _FOLDER)


def _file(output: str, run: str) -> str:
    return storage.join(_folder(output), run)
