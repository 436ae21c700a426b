"""One process's share of a build that several joined: units that it claims, one after another."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finehard.digest import digest, number
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.sources import SourceConfig, SourceFile, Unit, units
from finehard.state.claims import UNCLAIMED, Claims, State
from finehard.state.members import Watch

_EVERY_S = {False: 1.0, True: 5.0}
"""Seconds between two looks at what others have done, local and remote."""
_FILES = "files"
"""Folder of the claims to index a file, beside the folders of the files' units."""


@dataclass(frozen=True)
class Joined:
    """This process as one of those that build an output together. Only claims under `name`, a
    digest of all that they must have the same of, are of meaning."""

    member: str
    name: str


class Shares:
    """The units that this process brings through, as `joined`.

    A unit of work can be several units of the journal: it is done when all of them are merged.
    """

    def __init__(self, output: str, joined: Joined, config: SourceConfig) -> None:
        self._claims = Claims(Watch(output), joined.member)
        self._joined = joined
        self._config = config
        self._every_s = _EVERY_S[storage.is_remote(output)]
        self._split: dict[str, list[Unit]] = {}
        self._lock = threading.Lock()
        self._under_way: Counter[Unit] = Counter()
        self._unit_of: dict[str, Unit] = {}

    def wait(self, files: Sequence[SourceFile]) -> bool:
        """Waits until units can be claimed. Returns False if all are done. Raises `FinehardError`
        if some of this process's own are not, although the pipeline has ended."""
        if self._under_way:
            raise FinehardError(
                f"{len(self._under_way)} units of work did not come out of the pipeline whole: "
                "every record that is read must reach WriteShards"
            )
        left = self._left(files)
        while left:
            if any(True for file in left for _ in self._free(file)):
                return True
            left = [file for file in left if self._unfinished(file) != []]
            if left:
                time.sleep(self._every_s)
        return False

    def take(self, files: Sequence[SourceFile]) -> Iterator[Unit]:
        """Yields units that are not done and that nobody else works on, each claimed before it is
        yielded, until there is none."""
        for file in self._left(files):
            for unit, state in self._free(file):
                if self._claims.take(self._folder(file), unit.id, state):
                    yield unit

    def begin(self, unit: Unit) -> None:
        """Marks `unit` as being read."""
        with self._lock:
            self._under_way[unit] += 1

    def begin_part(self, part: str, unit: Unit) -> None:
        """Marks `part`, a unit of the journal, as one of `unit` that is being read."""
        with self._lock:
            self._under_way[unit] += 1
            self._unit_of[part] = unit

    def end_part(self, part: str) -> None:
        """Marks `part` as through, and merged."""
        with self._lock:
            unit = self._unit_of.pop(part)
        self.end(unit)

    def end(self, unit: Unit) -> None:
        """Marks all of `unit` as read."""
        with self._lock:
            self._under_way[unit] -= 1
            if self._under_way[unit]:
                return
            del self._under_way[unit]
        self._claims.mark_done(self._folder(unit.file), unit.id)
        self._unfinished(unit.file)

    def _left(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns the files of which not all is known to be done, in an order of this process's
        own."""
        states = self._claims.states(self._at(_FILES))
        left = [file for file in files if not states.get(_id(file), UNCLAIMED).done]
        return sorted(left, key=lambda file: number(self._joined.member + file.uri))

    def _free(self, file: SourceFile) -> Iterator[tuple[Unit, State]]:
        """Yields the units of `file` that can be claimed."""
        for unit, state in self._unfinished(file) or ():
            if self._claims.is_free(self._folder(file), unit.id, state):
                yield unit, state

    def _unfinished(self, file: SourceFile) -> list[tuple[Unit, State]] | None:
        """Returns the units of `file` that are not done; where that is none, marks it as done. None
        while another process indexes it."""
        split = self._units(file)
        if split is None:
            return None
        states = self._claims.states(self._folder(file))
        each = [(unit, states.get(unit.id, UNCLAIMED)) for unit in split]
        unfinished = [(unit, state) for unit, state in each if not state.done]
        if not unfinished:
            self._claims.mark_done(self._at(_FILES), _id(file))
        return unfinished

    def _units(self, file: SourceFile) -> list[Unit] | None:
        """Returns the units of `file`; None while another process indexes it. Only that of tars is
        work: it is done once, and saved."""
        if file.units is not None or file.format != "tar":
            if file.uri not in self._split:
                self._split[file.uri] = list(units(file, self._config))
            return self._split[file.uri]
        at = self._at(_FILES)
        index = self._claims.uri(at, f"{_id(file)}.units")
        if storage.exists(index):
            return _load(index, file)
        state = self._claims.states(at, f"{_id(file)}.").get(_id(file), UNCLAIMED)
        if not (
            self._claims.is_free(at, _id(file), state) and self._claims.take(at, _id(file), state)
        ):
            return None
        split = list(units(file, self._config))
        _save(index, split)
        return split

    def _folder(self, file: SourceFile) -> str:
        return self._at(_id(file))

    def _at(self, folder: str) -> str:
        return f"{self._joined.name}/{folder}"


def _id(file: SourceFile) -> str:
    return digest(file.uri.encode("utf-8", "backslashreplace").hex(), 8)


def _save(uri: str, split: list[Unit]) -> None:
    rows = [[unit.id, unit.start, unit.stop, unit.samples] for unit in split]
    storage.write(uri, json.dumps(rows).encode())


def _load(uri: str, file: SourceFile) -> list[Unit]:
    rows = json.loads(storage.read_all(uri))
    return [Unit(name, file, start, stop, samples=samples) for name, start, stop, samples in rows]
