"""The journal: every model reply is kept, so that no question is asked twice.

Rows lie in `_journal/<stage>/<fingerprint>/part-<unit>-<random>-<digest>.parquet`; the digest is
of the file's bytes, so that all damage is seen (Parquet's checksums leave out its headers). A unit
is a stretch of one source file (see `finehard.sources`); its rows are looked up when its first
sample comes by, and forgotten when its last one is through, so memory does not grow with the
dataset. A thread writes what has come in every `FLUSH_S` seconds, under a temporary name, then
renamed. When a unit is through, its parts are merged into one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.records import Usage

FLUSH_S = 0.5
"""Seconds for which a reply may lie in memory only."""

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
    """A kept reply: the JSON value, and what it cost when it was asked for."""

    value: Any
    usage: Usage


class Journal:
    """The journal of one output directory, for this process. Thread-safe.

    When a write fails, that and every later call that writes raises `FinehardError`.
    """

    def __init__(self, output: str) -> None:
        self.root = storage.join(output, "_journal")
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._rows: dict[tuple[str, str], dict[str, Entry]] = {}
        self._fresh: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
        self._parts: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._through: deque[str] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._error: FinehardError | None = None
        self._thread = threading.Thread(target=self._run, name="finehard-journal", daemon=True)
        self._thread.start()

    def get(self, stage: str, unit: str, key: str) -> Entry | None:
        """The kept reply to question `key`, or None. `stage` is "<stage>/<fingerprint>"."""
        place = (stage, unit)
        with self._lock:
            rows = self._rows.get(place)
            if rows is None:
                rows = self._rows[place] = self._load(place)
            return rows.get(key)

    def put(self, stage: str, unit: str, key: str, entry: Entry) -> None:
        """Keeps a reply; it is on disk `FLUSH_S` seconds later."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._rows.setdefault((stage, unit), {})[key] = entry
            self._fresh[stage, unit][key] = entry
        self._wake.set()

    def finish(self, unit: str) -> None:
        """The unit is through: its rows go to disk as one part a stage, and leave memory, soon."""
        if self._error is not None:
            raise self._error
        self._through.append(unit)
        self._wake.set()

    def flush(self) -> None:
        """Merges the parts of units that are through, and writes all that is not on disk yet."""
        with self._writing, self._failing_once():
            while self._through:
                self._merge(self._through.popleft())
            with self._lock:
                fresh, self._fresh = self._fresh, defaultdict(dict)
            for place, rows in fresh.items():
                part = self._write(place, rows, durable=False)
                with self._lock:
                    self._parts[place].append(part)

    def _merge(self, unit: str) -> None:
        with self._lock:
            places = [p for p in (*self._rows, *self._fresh) if p[1] == unit]
            merge = {}
            for place in dict.fromkeys(places):
                rows = self._rows.pop(place, {})
                fresh = self._fresh.pop(place, {})
                old = self._parts.pop(place, [])
                if fresh or len(old) > 1:
                    merge[place] = ({**rows, **fresh}, old)
        for place, (rows, old) in merge.items():
            self._write(place, rows, durable=True)
            storage.delete(old)

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
                return  # whoever writes next is told

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

    def _folder(self, stage: str) -> str:
        return storage.join(self.root, stage)

    def _load(self, place: tuple[str, str]) -> dict[str, Entry]:
        stage, unit = place
        prefix = f"part-{unit}-"
        length = len(storage.join(self._folder(stage), prefix + _NAME_END.format("0", "0")))
        rows: dict[str, Entry] = {}
        for _ in range(3):  # another process may merge parts away while they are read
            rows, parts, vanished = {}, [], False
            for file in storage.glob(self._folder(stage), prefix):
                if len(file.uri) != length:
                    continue  # a part of another unit
                data = _read(file.uri)
                if data is None:
                    vanished = True
                    continue
                try:
                    rows.update(_decode(data, file.uri))
                except (pa.ArrowException, OSError, ValueError, TypeError) as error:
                    _log.warning("journal part %s is damaged, its questions are asked again: %s",
                                 file.uri, _one_line(error))  # fmt: skip
                    with contextlib.suppress(OSError):
                        storage.delete([file.uri])
                    continue
                parts.append(file.uri)
            if not vanished:
                break
        self._parts[place] += parts
        return rows

    def _write(self, place: tuple[str, str], rows: dict[str, Entry], durable: bool) -> str:
        stage, unit = place
        data = _encode(rows)
        end = _NAME_END.format(os.urandom(6).hex(), _digest(data))
        part = storage.join(self._folder(stage), f"part-{unit}-{end}")
        with storage.writing(part, durable) as file:
            file.write(data)
        return part


_NAME_END = "{:0>12}-{:0>16}.parquet"


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
        raise ValueError("its bytes are not those that were written")
    return {
        row["key"]: Entry(
            json.loads(row["value"]),
            Usage(row["requests"], row["prompt_tokens"], row["completion_tokens"]),
        )
        for row in pq.read_table(pa.BufferReader(data)).to_pylist()
    }


def _read(uri: str) -> bytes | None:
    """The file's bytes, or None where it is gone. A store that fails is no damaged part."""
    try:
        return storage.read_all(uri)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FinehardError(f"cannot read the journal's {uri}: {_one_line(error)}") from error


def _root(error: BaseException) -> BaseException:
    """What the store said, where `storage` has put its own words around it."""
    return error.__cause__ if isinstance(error, FinehardError) and error.__cause__ else error


def _one_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
