"""Who may build an output: one build alone, or processes that join, never both."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.state.lease import BuiltBy, leased, refuse_leased
from finehard.state.members import Watch, bury, first_living, members, name_of

_log = logging.getLogger(__name__)


@contextmanager
def locked(output: str, me: str = "") -> Iterator[None]:
    """Locks the output directory. Raises `FinehardError` if another build holds it, or processes
    that joined are building it. `me` is the member, if any, that has claimed the writing: no other
    can join.

    The kernel releases the lock with the process, however it ends. On a file system without locks
    only a warning is logged. Remote outputs are leased instead.
    """
    with leased(output) if storage.is_remote(output) else _flocked(output, fcntl.LOCK_EX):
        if not me:
            found = members(output)
            if living := first_living(Watch(output), found):
                raise BuiltBy(output, f"{name_of(living)}, which joined")
            bury(output, found)
        yield


@contextmanager
def shared(output: str) -> Iterator[None]:
    """Lets nobody lock the output directory while the block runs. Raises `FinehardError` if a build
    has. In an object store it is the files of members that keep builds away."""
    if storage.is_remote(output):
        refuse_leased(output)
        yield
    else:
        with _flocked(output, fcntl.LOCK_SH):
            yield


@contextmanager
def _flocked(output: str, kind: int) -> Iterator[None]:
    folder = os.path.join(output, storage.JOURNAL)
    try:
        os.makedirs(folder, exist_ok=True)
        file = open(os.path.join(folder, "lock"), "a+")  # noqa: SIM115  closed below
    except OSError as error:
        raise FinehardError(f"cannot lock {output}: {error.strerror}: {error.filename}") from None
    with file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuiltBy(output, _holder(output, file)) from None
        except OSError as error:
            _log.warning("%s has no locks (%s): start no second build on it", output, error)
        file.truncate(0)
        if kind == fcntl.LOCK_EX:
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        yield


def _holder(output: str, file: IO[str]) -> str:
    file.seek(0)
    joined = members(output)
    return file.read(200).strip() or (name_of(joined[0]) if joined else "another process")
