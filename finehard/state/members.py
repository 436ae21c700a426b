"""The processes that build an output together: each rewrites a small file of its own regularly."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from finehard.dataset.layout import JOINED, JOURNAL
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.state import lease

_log = logging.getLogger(__name__)
_MEMBERS = "members"
_SUFFIX = ".json"

Notes = Mapping[str, str]
"""What all members must have the same of: what it is -> a digest of it."""


class _Beat(NamedTuple):
    number: int
    notes: Notes


@contextlib.contextmanager
def member(output: str, notes: Notes) -> Iterator[str]:
    """Makes this process a member while the block runs, and yields its id. When its file was
    deleted, because others took it for dead, the process ends."""
    me = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
    _write(output, me, _Beat(0, notes))
    ended = threading.Event()

    def beat() -> None:
        number = 0
        while not ended.wait(lease.HEARTBEAT_S):
            with contextlib.suppress(OSError, FinehardError):  # the next one may succeed
                if not storage.exists(_uri(output, me)) and not ended.is_set():
                    _stop(output)
                number += 1
                _write(output, me, _Beat(number, notes))

    thread = threading.Thread(target=beat, name="finehard-member", daemon=True)
    thread.start()
    try:
        yield me
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(Exception):  # a file left behind is that of a dead member
            storage.delete([_uri(output, me)])


class Watch:
    """Tells which members live, by what it has seen of their files. Only changes count, not times,
    so clocks may differ."""

    def __init__(self, output: str) -> None:
        self.output = output
        self._seen: dict[str, tuple[int, float, bool]] = {}

    def lives(self, member: str) -> bool | None:
        """Returns whether `member` lives: no, if its file is gone or has not changed for three
        beats. None: too early to tell."""
        beat = _read(self.output, member)
        if beat is None:
            return False
        now = time.monotonic()
        number, since, changed = self._seen.setdefault(member, (beat.number, now, False))
        if number != beat.number:
            since, changed = now, True
            self._seen[member] = (beat.number, since, changed)
        if now - since >= 3 * lease.HEARTBEAT_S:
            return False
        return changed or None


def name_of(member: str) -> str:
    """Returns the name of a member for a message."""
    host, pid, _ = member.rsplit("-", 2)
    return f"process {pid} on {host}"


def members(output: str, but: str = "") -> list[str]:
    """Returns the ids of all members of `output`, dead ones among them."""
    files = storage.glob(_folder(output), "")
    ids = [file.uri.rpartition("/")[2].removesuffix(_SUFFIX) for file in files]
    return [one for one in ids if one != but]


def first_living(watch: Watch, ids: Sequence[str]) -> str | None:
    """Returns one of the members `ids` that lives, None if all are dead. That can take three
    beats to tell."""
    unknown, said = list(ids), False
    while unknown:
        lives = {one: watch.lives(one) for one in unknown}
        if living := next((one for one in unknown if lives[one]), None):
            return living
        unknown = [one for one in unknown if lives[one] is None]
        if unknown:
            if not said:
                _log.info(
                    "%s was being built by %s: waiting at most %.0f s to see whether it still is",
                    watch.output, ", ".join(map(name_of, unknown[:3])), 3 * lease.HEARTBEAT_S,
                )  # fmt: skip
                said = True
            time.sleep(lease.HEARTBEAT_S / 5)
    return None


def refuse_others(watch: Watch, me: str, notes: Notes) -> None:
    """Raises `FinehardError` if a living member has other `notes`."""
    output, different = watch.output, {}
    for one in members(output, me):
        beat = _read(output, one)
        names = [name for name in notes if beat and beat.notes.get(name) != notes[name]]
        if names:
            different[one] = names
    living = first_living(watch, list(different))
    if living:
        raise FinehardError(
            f"{output} is being built by {name_of(living)} with other "
            f"{' and '.join(different[living])}: processes that join must have the same"
        )


def wait_until_alone(output: str, me: str) -> None:
    """Waits until all other members have ended."""
    watch = Watch(output)
    while others := members(output, me):
        dead = [one for one in others if watch.lives(one) is False]
        bury(output, dead)
        if len(dead) == len(others):
            return
        time.sleep(lease.HEARTBEAT_S / 5)


def bury(output: str, dead: Sequence[str]) -> None:
    """Deletes the files of members that are dead: one that only stood still then ends."""
    storage.delete([_uri(output, one) for one in dead])


def forget(output: str) -> None:
    """Deletes all claims. Nobody else may build `output` meanwhile."""
    storage.delete_tree(storage.join(output, JOURNAL, JOINED), keep=_MEMBERS)


def _folder(output: str) -> str:
    return storage.join(output, JOURNAL, JOINED, _MEMBERS)


def _uri(output: str, member: str) -> str:
    return storage.join(_folder(output), member + _SUFFIX)


def _write(output: str, member: str, beat: _Beat) -> None:
    with storage.writing(_uri(output, member), durable=False) as file:
        file.write(json.dumps({"beat": beat.number, "notes": dict(beat.notes)}).encode())


def _read(output: str, member: str) -> _Beat | None:
    try:
        values = json.loads(storage.read_all(_uri(output, member)))
        return _Beat(int(values["beat"]), dict(values["notes"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _stop(output: str) -> None:
    print(
        f"finehard: {output}: other processes took this one for dead, as it stood still for long, "
        "and went on without it; everything answered so far is kept",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
