"""The journal: every model reply is kept, so that no question is asked twice.

Rows lie in `_journal/<stage>/<fingerprint>/part-<unit>-<name>.parquet`. A unit is a stretch of one
source file (see `finehard.sources`); its rows are looked up when its first sample comes by, and
forgotten when its last one is through, so memory does not grow with the dataset. A thread writes
what has come in every `FLUSH_S` seconds, under a temporary name, then renamed. When a unit is
through, its parts are merged into one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard import storage
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
    """The journal of one output directory, for this process. Thread-safe."""

    def __init__(self, output: str) -> None:
        self.root = storage.join(output, "_journal")
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        self._rows: dict[tuple[str, str], dict[str, Entry]] = {}
        self._fresh: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
        self._parts: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._wake = threading.Event()
        self._closed = False
        self._error: OSError | None = None
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
        """Keeps a reply; it is on disk `FLUSH_S` seconds later. Raises the last write's error."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._rows.setdefault((stage, unit), {})[key] = entry
            self._fresh[stage, unit][key] = entry
        self._wake.set()

    def finish(self, unit: str) -> None:
        """The unit is through: its rows go to disk as one part a stage, and leave memory."""
        with self._writing:
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

    def flush(self) -> None:
        """Writes all that is not on disk yet."""
        with self._writing:
            with self._lock:
                fresh, self._fresh = self._fresh, defaultdict(dict)
            for place, rows in fresh.items():
                part = self._write(place, rows, durable=False)
                with self._lock:
                    self._parts[place].append(part)

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
            except OSError as error:
                self._error = error
                return

    def _folder(self, stage: str) -> str:
        return storage.join(self.root, stage)

    def _load(self, place: tuple[str, str]) -> dict[str, Entry]:
        stage, unit = place
        rows: dict[str, Entry] = {}
        for file in storage.glob(self._folder(stage), f"part-{unit}-"):
            if not file.uri.endswith(".parquet"):
                continue
            try:
                table = _read(file.uri)
            except (pa.ArrowException, OSError, ValueError) as error:
                _log.warning("journal part %s is damaged, its questions are asked again: %s",
                             file.uri, " ".join(str(error).split())[:120])  # fmt: skip
                with contextlib.suppress(OSError):
                    storage.delete([file.uri])
                continue
            rows.update(table)
            self._parts[place].append(file.uri)
        return rows

    def _write(self, place: tuple[str, str], rows: dict[str, Entry], durable: bool) -> str:
        stage, unit = place
        part = storage.join(self._folder(stage), f"part-{unit}-{os.urandom(6).hex()}.parquet")
        columns = {
            "key": list(rows),
            "value": [json.dumps(e.value, ensure_ascii=False) for e in rows.values()],
            "requests": [e.usage.requests for e in rows.values()],
            "prompt_tokens": [e.usage.prompt_tokens for e in rows.values()],
            "completion_tokens": [e.usage.completion_tokens for e in rows.values()],
        }
        with storage.writing(part, durable) as file:
            pq.write_table(
                pa.table(columns, _SCHEMA), file, compression="zstd", write_page_checksum=True
            )
        return part


def _read(uri: str) -> dict[str, Entry]:
    with storage.open_read(uri) as file:
        table = pq.ParquetFile(file, page_checksum_verification=True).read()
    if table.schema.names != _SCHEMA.names:
        raise ValueError("other columns than expected")
    return {
        row["key"]: Entry(
            json.loads(row["value"]),
            Usage(row["requests"], row["prompt_tokens"], row["completion_tokens"]),
        )
        for row in table.to_pylist()
    }
