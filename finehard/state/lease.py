"""One build at a time on a remote output: an object that the running build rewrites regularly."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from finehard.errors import FinehardError
from finehard.io import storage

_log = logging.getLogger(__name__)
HEARTBEAT_S = 5.0
"""Seconds between two writes by the holder."""
SETTLE_S = 2.0
"""Seconds after which the loser of two builds that started at once sees that it was overwritten;
only on stores without conditional writes."""


class BuiltBy(FinehardError):
    """Another process is building the output: `holder`, "process PID on HOST", where in a store
    a comma and more follow."""

    def __init__(self, output: str, holder: str) -> None:
        super().__init__(
            f"{output} is being built by {holder}: wait for it, or choose another output"
        )
        self.holder = holder


class _Lease(NamedTuple):
    holder: str
    heartbeat: int
    version: str | None
    """The object's version; None on stores without conditional writes."""


@contextlib.contextmanager
def leased(output: str) -> Iterator[None]:
    """Holds the lease of the remote directory. Raises `FinehardError` if another build does.

    A lease that has not changed for three heartbeats belonged to a build that was killed, and is
    taken over. Only changes count, not times, so clocks may differ. Where the store has
    conditional writes, taking the lease and every heartbeat are one atomic request. A build that
    lost its lease while it ran ends at once.
    """
    uri = _uri(output)
    me = f"process {os.getpid()} on {socket.gethostname()}, {os.urandom(4).hex()}"
    lease = _acquire(uri, me, _left_behind(output))
    if lease is None:
        raise BuiltBy(output, _holder(_read(uri)))
    ended = threading.Event()

    def keep() -> None:
        held, failed = lease, False
        while not ended.wait(HEARTBEAT_S):
            try:
                renewed = _renew(uri, held, failed)
                if renewed is None and not ended.is_set():
                    _stop(output, _read(uri))
                held, failed = renewed or held, False
            except (OSError, FinehardError):  # the next one may succeed
                failed = True

    thread = threading.Thread(target=keep, name="finehard-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(Exception):  # a lease left behind will be taken over
            last = _read(uri)
            if last is not None and last.holder == me:
                storage.delete([uri])


def refuse_leased(output: str) -> None:
    """Raises `FinehardError` if a build holds the lease of the remote directory."""
    _left_behind(output)


def _left_behind(output: str) -> _Lease | None:
    """Returns the lease of a build that was killed. Raises `FinehardError` if it is running."""
    before = _read(_uri(output))
    if before is None:
        return None
    _log.info(
        "%s was held by %s: waiting %.0f s to see whether that build is still running",
        output, before.holder, 3 * HEARTBEAT_S,
    )  # fmt: skip
    time.sleep(3 * HEARTBEAT_S)
    now = _read(_uri(output))
    if now not in (before, None):
        raise BuiltBy(output, _holder(now))
    return now


def _uri(output: str) -> str:
    return storage.join(output, storage.JOURNAL, "lease.json")


def _acquire(uri: str, me: str, before: _Lease | None) -> _Lease | None:
    """Returns the new lease; None if another build was faster."""
    try:
        return _write_if(uri, me, 0, before.version if before else None)
    except NotImplementedError:
        storage.write(uri, _encode(me, 0))
        time.sleep(SETTLE_S)
        return _still(me, _read(uri))


def _renew(uri: str, held: _Lease, failed: bool = False) -> _Lease | None:
    """Writes the next heartbeat. Returns the new lease; None if the lease is lost.

    Where the store has no conditional writes it looks first, and does not write if this process
    stood still since, in which time the lease may have been taken over. After a heartbeat that
    `failed`, the lease may be missing without another's doing.
    """
    number = held.heartbeat + 1
    if held.version is not None:
        return _write_if(uri, held.holder, number, held.version)
    looked = time.monotonic()
    now = _read(uri)
    if _still(held.holder, now) is None and not (now is None and failed):
        return None
    if time.monotonic() - looked >= HEARTBEAT_S:
        return held
    storage.write(uri, _encode(held.holder, number))
    return held._replace(heartbeat=number)


def _write_if(uri: str, me: str, number: int, version: str | None) -> _Lease | None:
    written = storage.write_if(uri, _encode(me, number), version)
    if written is not None:
        return _Lease(me, number, written)
    return _still(me, _read(uri))  # an earlier attempt may have succeeded, its answer been lost


def _still(me: str, lease: _Lease | None) -> _Lease | None:
    return lease if lease is not None and lease.holder == me else None


def _encode(holder: str, heartbeat: int) -> bytes:
    return json.dumps({"holder": holder, "beat": heartbeat}).encode()


def _read(uri: str) -> _Lease | None:
    """Returns the current lease; None if there is none."""
    version = None
    try:
        try:
            data, version = storage.read_version(uri)
        except NotImplementedError:
            data = storage.read_all(uri)
        values = json.loads(data)
        return _Lease(str(values["holder"]), int(values["beat"]), version)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return _Lease("another process", -1, version)


def _holder(lease: _Lease | None) -> str:
    return lease.holder if lease else "another process"


def _stop(output: str, lease: _Lease | None) -> None:
    """Ends the process: two builds must not write to one output."""
    taken = f"was taken over by {lease.holder}" if lease else "is free: its lease was deleted"
    print(
        f"finehard: {output} {taken} while this build was running, which stops therefore; "
        "everything answered so far is kept",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
