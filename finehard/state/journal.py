"""The journal: every model reply is saved, so that no question is asked twice.

Replies are rows of `part-<unit>-<random>-<digest>.parquet`, in a stage's folder `_journal/<stage>
/<fingerprint>/` and there below the unit's first two digits, so that a look-up does not search the
parts of all units. The digest covers the whole file, so any damage is detected (Parquet's own
checksums leave out its headers). A unit is a stretch of one source file (see `finehard.sources`).
Its rows are read when its first question is looked up and dropped when its last sample is done, so
memory does not grow with the dataset. A thread writes new rows every `FLUSH_S` seconds, to a
temporary name that is then renamed. When a unit is done, its parts are merged into one.

Earlier releases wrote all parts of a stage into one folder. They are read where they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.records import Usage

FLUSH_S = 0.5
"""Seconds that a reply may exist in memory only."""

_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("value", pa.string()),
        ("requests", pa.int32()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A saved reply: the JSON value, and what the request cost."""

    value: Any
    usage: Usage


_Scope = tuple[str, str]
"""Stage ("<stage>/<fingerprint>") and unit."""


@dataclass
class _Rows:
    """The rows of one scope that are in memory: at least all rows of `parts`."""

    entries: dict[str, Entry] = field(default_factory=dict)
    unsaved: dict[str, Entry] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    reading: threading.Lock = field(default_factory=threading.Lock)
    complete: bool = False
    """The unit's parts have been listed and read: other keys have no reply."""


class Journal:
    """The journal of one output directory, for this process. Thread-safe.

    `put` only takes a lock that is never held during I/O, so it may be called on an event loop.
    After a failed write, every call that writes raises that `FinehardError`.
    """

    def __init__(self, output: str) -> None:
        self.root = storage.join(output, storage.JOURNAL)
        self._lock = threading.Lock()
        self._rows: dict[_Scope, _Rows] = {}
        self._listing = threading.Lock()
        self._together: dict[str, list[str]] = {}
        self._writing = threading.Lock()
        self._done: deque[tuple[str, Callable[[], None] | None]] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._error: FinehardError | None = None
        self._thread = threading.Thread(target=self._run, name="finehard-journal", daemon=True)
        self._thread.start()

    def get(self, stage: str, unit: str, key: str) -> Entry | None:
        """Returns the saved reply to question `key`, or None. `stage` is "<stage>/<fingerprint>".

        Raises `FinehardError` when the store fails.
        """
        scope = (stage, unit)
        rows = self._at(scope)
        if key not in rows.entries and not rows.complete:
            with rows.reading:  # other units and `put` do not wait
                if not rows.complete:
                    self._look_up(scope, rows)
        return rows.entries.get(key)

    def put(self, stage: str, unit: str, key: str, entry: Entry) -> None:
        """Saves a reply; it is on disk within `FLUSH_S` seconds."""
        if self._error is not None:
            raise self._error
        with self._lock:
            rows = self._rows.setdefault((stage, unit), _Rows())
            rows.entries[key] = rows.unsaved[key] = entry
        self._wake.set()

    def finish(self, unit: str, then: Callable[[], None] | None = None) -> None:
        """Marks a unit as done: soon its rows are one part a stage on disk, and leave memory.

        `then` is called after that, on the thread that writes; its errors are the journal's.
        """
        if self._error is not None:
            raise self._error
        self._done.append((unit, then))
        self._wake.set()

    def flush(self) -> None:
        """Writes every row that is not on disk, and merges the parts of units that are done."""
        with self._writing, self._failing_once():
            done = [self._done.popleft() for _ in range(len(self._done))]
            self._write_unsaved({unit for unit, _ in done})  # first: it does not wait for the disk
            for unit, then in done:
                self._merge(unit)
                if then is not None:
                    then()

    def _write_unsaved(self, but: set[str]) -> None:
        """Writes new rows, but not those of units that are to be merged."""
        with self._lock:
            unsaved = [
                (scope, rows)
                for scope, rows in self._rows.items()
                if rows.unsaved and scope[1] not in but
            ]
            new = [rows.unsaved for _, rows in unsaved]
            for _, rows in unsaved:
                rows.unsaved = {}
        for (scope, rows), entries in zip(unsaved, new, strict=True):
            part = self._write(scope, entries, durable=False)
            with self._lock:
                rows.parts.append(part)

    def _merge(self, unit: str) -> None:
        with self._lock:
            merge = []
            for scope in [scope for scope in self._rows if scope[1] == unit]:
                rows = self._rows.pop(scope)
                if rows.unsaved or len(rows.parts) > 1:
                    merge.append((scope, dict(rows.entries), list(rows.parts)))
        for scope, entries, parts in merge:
            self._write(scope, entries, durable=True)
            storage.delete(parts)

    def close(self) -> None:
        """Flushes, and ends the thread."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        pause = threading.Event()
        while not self._closed:
            self._wake.wait()
            pause.wait(FLUSH_S if not self._closed else 0)
            self._wake.clear()
            try:
                self.flush()
            except FinehardError:
                return  # the next call that writes raises it

    @contextlib.contextmanager
    def _failing_once(self) -> Iterator[None]:
        if self._error is not None:
            raise self._error
        try:
            yield
        except Exception as error:  # every store has its own exceptions
            why = _one_line(_root(error))
            self._error = FinehardError(
                f"cannot write the journal {self.root}: {why}; put that right, then run the same "
                "command again"
            )
            raise self._error from error

    def _at(self, scope: _Scope) -> _Rows:
        with self._lock:
            return self._rows.setdefault(scope, _Rows())

    def _look_up(self, scope: _Scope, rows: _Rows) -> None:
        """Reads the parts of `scope`, also those that another process has written: a bundle that
        failed there is retried here."""
        for _ in range(3):  # another process may merge parts while they are read
            if self._read_parts(rows, [*self._earlier_parts(scope), *self._parts(scope)]):
                break
        rows.complete = True

    def _read_parts(self, rows: _Rows, uris: list[str]) -> bool:
        """Adds the rows of the parts `uris` to `rows`. Returns whether all of them still exist."""
        entries: dict[str, Entry] = {}
        parts = []
        exist = True
        for uri in uris:
            if uri in rows.parts:
                continue
            data = _read(uri)
            if data is None:
                exist = False
                continue
            try:
                entries.update(_decode(data, uri))
            except (pa.ArrowException, OSError, ValueError, TypeError) as error:
                _log.warning("journal part %s is damaged, its questions are asked again: %s",
                             uri, _one_line(error))  # fmt: skip
                with contextlib.suppress(OSError):
                    storage.delete([uri])
                continue
            parts.append(uri)
        with self._lock:
            for key, entry in entries.items():
                rows.entries.setdefault(key, entry)
            rows.parts += [uri for uri in parts if uri not in rows.parts]
        return exist

    def _parts(self, scope: _Scope) -> list[str]:
        """Lists the parts of `scope`, sorted."""
        folder, unit = self._folder(scope), scope[1]
        return self._parts_of(scope, folder, [f.uri for f in storage.glob(folder, _name(unit))])

    def _earlier_parts(self, scope: _Scope) -> list[str]:
        """Returns the parts of `scope` that earlier releases have written, sorted. The stage's
        folder is listed once per process: nobody adds to it."""
        stage, unit = scope
        folder = storage.join(self.root, stage)
        with self._listing:
            if stage not in self._together:
                files = storage.glob(folder, "part-")
                self._together[stage] = [file.uri for file in files]
        uris = self._together[stage]
        prefix = storage.join(folder, _name(unit))
        start = bisect_left(uris, prefix)
        stop = bisect_left(uris, prefix + "\U0010ffff", start)
        return self._parts_of(scope, folder, uris[start:stop])

    def _parts_of(self, scope: _Scope, folder: str, uris: list[str]) -> list[str]:
        """Leaves out parts of units whose name begins with this unit's name and a dash."""
        length = len(storage.join(folder, _name(scope[1], "0", "0")))
        return [uri for uri in uris if len(uri) == length]

    def _folder(self, scope: _Scope) -> str:
        stage, unit = scope
        return storage.join(self.root, stage, unit[:2])

    def _write(self, scope: _Scope, rows: dict[str, Entry], durable: bool) -> str:
        data = _encode(rows)
        name = _name(scope[1], os.urandom(6).hex(), _digest(data))
        part = storage.join(self._folder(scope), name)
        with storage.writing(part, durable) as file:
            file.write(data)
        return part


def _name(unit: str, *end: str) -> str:
    """Returns the name of a part of `unit`, which ends in 12 random digits and 16 of its digest, or
    without these the beginning of all their names."""
    return f"part-{unit}-" + ("{:0>12}-{:0>16}.parquet".format(*end) if end else "")


def _digest(data: memoryview | bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _encode(rows: dict[str, Entry]) -> memoryview:
    columns = {
        "key": list(rows),
        "value": [json.dumps(e.value) for e in rows.values()],
        "requests": [e.usage.requests for e in rows.values()],
        "prompt_tokens": [e.usage.prompt_tokens for e in rows.values()],
        "completion_tokens": [e.usage.completion_tokens for e in rows.values()],
    }
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, _SCHEMA), out, compression="zstd")
    return memoryview(out.getvalue())


def _decode(data: bytes, uri: str) -> dict[str, Entry]:
    if not uri.endswith(f"-{_digest(data)}.parquet"):
        raise ValueError("its digest does not match its name")
    return {
        row["key"]: Entry(
            json.loads(row["value"]),
            Usage(row["requests"], row["prompt_tokens"], row["completion_tokens"]),
        )
        for row in read_table(pa.BufferReader(data)).to_pylist()
    }


def _read(uri: str) -> bytes | None:
    """Returns the file's bytes, or None if it does not exist. A failing store raises."""
    try:
        return storage.read_all(uri)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FinehardError(f"cannot read the journal's {uri}: {_one_line(error)}") from error


def _root(error: BaseException) -> BaseException:
    """Returns the store's own error where `storage` has wrapped it."""
    return error.__cause__ if isinstance(error, FinehardError) and error.__cause__ else error


def _one_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
