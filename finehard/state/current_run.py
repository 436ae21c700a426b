"""The run that builds an output: a file that the command writes and that its workers look for.

A worker that does not find it does not see the output, because the disk is not shared; or another
run has begun since, as when a command was killed and its job on a cluster was not.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

from finehard import __version__
from finehard.errors import FinehardError
from finehard.io import storage

_FOLDER = "_begun"
"""In the journal's folder."""


def begin(output: str, run: str) -> None:
    """Makes `run` the one that builds `output`: workers of others end at their next unit."""
    storage.delete_tree(_folder(output))
    storage.write(_file(output, run), json.dumps(_versions()).encode())


def end(output: str, run: str) -> None:
    """Forgets `run`, which has ended."""
    storage.delete([_file(output, run)])


def check_worker(output: str, run: str) -> None:
    """Raises `FinehardError` if this process cannot work for `run`: it does not see `output`, has
    another Python or finehard, or another run has begun."""
    try:
        theirs = json.loads(storage.read_all(_file(output, run)))
    except FileNotFoundError:
        raise FinehardError(_why_gone(output)) from None
    for name, own in _versions().items():
        if theirs.get(name) != own:
            raise FinehardError(
                f"the worker on {socket.gethostname()} has {name} {own}, the command that runs the "
                f"build has {theirs.get(name)}: give the workers' image or environment the same"
            )


def check_current(output: str, run: str) -> None:
    """Raises `FinehardError` if another run of `output` than `run` has begun."""
    if not storage.exists(_file(output, run)):
        raise FinehardError(_why_gone(output))


def _why_gone(output: str) -> str:
    others = storage.glob(_folder(output), "")
    if others:
        return f"another build of {output} has begun since; this one ends here"
    return (
        f"the worker on {socket.gethostname()} does not see {output}: mount the same disk there, "
        "under the same path, or build into an object store"
    )


def _versions() -> dict[str, Any]:
    return {"Python": "{}.{}".format(*sys.version_info), "finehard": __version__}


def _folder(output: str) -> str:
    return storage.join(output, storage.JOURNAL, _FOLDER)


def _file(output: str, run: str) -> str:
    return storage.join(_folder(output), run)
