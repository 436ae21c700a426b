"""What each of the processes that build an output together has taken, and what of it is done.

A claim is a file `<name>.<number>` that only one process can create, and that holds its id. Where
the holder of the last one is dead, whoever creates the next takes over. `<name>.done` says that it
is done. So it needs no locks, on a shared disk as in an object store.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from finehard.dataset.layout import JOINED, JOURNAL
from finehard.io import storage
from finehard.state import lease
from finehard.state.members import Watch, first_living

_DONE = "done"
_WRITING = "write"


class State(NamedTuple):
    """What is known of a name: the number of claims, and whether it is done."""

    claims: int = 0
    done: bool = False


UNCLAIMED = State()


class Claims:
    """The claims of `member`, for a thread; `watch` tells which others live."""

    def __init__(self, watch: Watch, member: str) -> None:
        self._output = watch.output
        self._member = member
        self._watch = watch
        self._holders: dict[str, str] = {}

    def states(self, folder: str, prefix: str = "") -> dict[str, State]:
        """Returns the states of all names in `folder` that begin with `prefix`: one listing."""
        return _states(self._output, folder, prefix)

    def is_free(self, folder: str, name: str, state: State) -> bool:
        """Returns whether `name` can be taken: it has no claim, or its holder is dead."""
        if state.done:
            return False
        if not state.claims:
            return True
        return self._watch.lives(self._last_holder(folder, name, state)) is False

    def take(self, folder: str, name: str, state: State) -> bool:
        """Claims `name`, which is free in `state`. Returns whether no other process was faster."""
        uri = self.uri(folder, f"{name}.{state.claims}")
        return storage.create(uri, self._member.encode())

    def mark_done(self, folder: str, name: str) -> None:
        """Marks `name` as done."""
        storage.create(self.uri(folder, f"{name}.{_DONE}"), self._member.encode())

    def take_writing(self) -> bool:
        """Claims the writing of the shards, once everything else is done. Returns False if another
        process does that; whether it lives can take three beats to tell."""
        while True:
            state = self.states("", _WRITING).get(_WRITING, UNCLAIMED)
            while not self.is_free("", _WRITING, state):
                if self._watch.lives(self._last_holder("", _WRITING, state)):
                    return False
                time.sleep(lease.HEARTBEAT_S / 5)
            if self.take("", _WRITING, state):
                return True

    def _last_holder(self, folder: str, name: str, state: State) -> str:
        claim = self.uri(folder, f"{name}.{state.claims - 1}")
        if claim not in self._holders:
            self._holders[claim] = _holder(claim)
        return self._holders[claim]

    def uri(self, folder: str, name: str) -> str:
        """Returns the URI of a file beside the claims in `folder`."""
        return _uri(self._output, folder, name)


def writer(watch: Watch) -> str | None:
    """Returns the living member that has claimed to write the shards."""
    output = watch.output
    claims = _states(output, "", _WRITING).get(_WRITING, UNCLAIMED).claims
    if not claims:
        return None
    holder = _holder(_uri(output, "", f"{_WRITING}.{claims - 1}"))
    return first_living(watch, [holder]) if holder else None


def _states(output: str, folder: str, prefix: str) -> dict[str, State]:
    states: dict[str, State] = {}
    at = storage.join(output, JOURNAL, JOINED, *filter(None, [folder]))
    for file in storage.glob(at, prefix):
        name, _, what = os.path.basename(file.uri).rpartition(".")
        state = states.get(name, UNCLAIMED)
        if what == _DONE:
            states[name] = state._replace(done=True)
        elif what.isdecimal():
            states[name] = state._replace(claims=max(state.claims, int(what) + 1))
    return states


def _holder(claim: str) -> str:
    """Returns the member that made `claim`; empty if it died between creating and writing it, or
    the claim is gone, as all are once the dataset is written."""
    with contextlib.suppress(FileNotFoundError):
        holder = storage.read_all(claim).decode()
        if not holder:
            time.sleep(1.0)
            holder = storage.read_all(claim).decode()
        return holder
    return ""


def _uri(output: str, folder: str, name: str) -> str:
    return storage.join(output, JOURNAL, JOINED, *filter(None, [folder]), name)
