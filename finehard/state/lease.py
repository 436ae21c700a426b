"""One build at a time on a remote output: an object that its holder writes anew while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

from finehard.errors import FinehardError
from finehard.io import storage

BEAT_S = 5.0
"""Seconds between two writes of the holder."""
SETTLE_S = 2.0
"""Seconds after which one of two that began at once finds itself overwritten."""


@contextlib.contextmanager
def leased(output: str) -> Iterator[None]:
    """Holds the remote directory. Raises `FinehardError` when another build does.

    Object stores have no locks. A lease that its holder no longer writes anew is a dead one's, and
    is taken over; what counts is whether it changes, not what time it tells, so that clocks may
    differ.
    """
    uri = storage.join(output, "_journal", "lease.json")
    mine = f"process {os.getpid()} on {socket.gethostname()}, {os.urandom(4).hex()}"
    if (before := _holder(uri)) is not None:
        print(
            f"{output} was held by {before[0]}: looking for {3 * BEAT_S:.0f} s whether it lives",
            file=sys.stderr,
        )
        time.sleep(3 * BEAT_S)
        _refuse_unless(_holder(uri) in (before, None), output, uri)
    _write(uri, mine, 0)
    time.sleep(SETTLE_S)
    held = _holder(uri)
    _refuse_unless(held is not None and held[0] == mine, output, uri)
    ended = threading.Event()

    def beat() -> None:
        number = 1
        while not ended.wait(BEAT_S):
            with contextlib.suppress(OSError, FinehardError):  # the next one may go through
                _write(uri, mine, number)
            number += 1

    thread = threading.Thread(target=beat, name="finehard-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(Exception):  # a lease left behind is taken over
            storage.delete([uri])


def _write(uri: str, holder: str, beat: int) -> None:
    storage.write(uri, json.dumps({"holder": holder, "beat": beat}).encode())


def _holder(uri: str) -> tuple[str, int] | None:
    """Who wrote the lease last, and its how manieth; None where there is none."""
    try:
        told = json.loads(storage.read_all(uri))
        return str(told["holder"]), int(told["beat"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return "another process", -1


def _refuse_unless(free: bool, output: str, uri: str) -> None:
    if not free:
        holder = (_holder(uri) or ("another process", 0))[0]
        raise FinehardError(
            f"{output} is being built by {holder}: wait for it, or choose another output"
        )
