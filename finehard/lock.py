"""One build at a time on an output: a lock that its holder's death releases."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from finehard import storage
from finehard.errors import FinehardError


@contextmanager
def locked(output: str) -> Iterator[None]:
    """Holds the output directory. Raises `FinehardError` when another build does.

    The kernel releases the lock with the process, however it ends. Remote outputs are not locked:
    object stores have no locks.
    """
    if storage.is_remote(output):
        yield
        return
    folder = os.path.join(output, "_journal")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "lock")
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise FinehardError(
                f"{output} is being built by {holder}: wait for it, or choose another output"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
