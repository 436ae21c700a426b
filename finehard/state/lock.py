"""One build at a time on an output: a lock that the kernel releases when its holder ends."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.state.lease import leased

_log = logging.getLogger(__name__)


@contextmanager
def locked(output: str) -> Iterator[None]:
    """Locks the output directory. Raises `FinehardError` if another build holds it.

    The kernel releases the lock with the process, however it ends. On a file system without locks
    only a warning is logged. Remote outputs are leased instead.
    """
    if storage.is_remote(output):
        with leased(output):
            yield
        return
    folder = os.path.join(output, storage.JOURNAL)
    try:
        os.makedirs(folder, exist_ok=True)
        file = open(os.path.join(folder, "lock"), "a+")  # noqa: SIM115  closed below
    except OSError as error:
        raise FinehardError(f"cannot lock {output}: {error.strerror}: {error.filename}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise FinehardError(
                f"{output} is being built by {holder}: wait for it, or choose another output"
            ) from None
        except OSError as error:
            _log.warning("%s has no locks (%s): start no second build on it", output, error)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
