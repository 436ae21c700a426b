"""A table on disk, to be looked up by a key of 64 bits: memory holds a part of it at a time.

Rows are spread over files by their mixed key as they come, and each file is sorted by itself: time
grows linearly with the rows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_PARTS = 64
_BITS = np.uint64(58)
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that distinct keys stay distinct (Knuth's multiplicative hashing)."""
_BUFFERED = 65_536


def _mixed(keys: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return keys.astype(np.uint64) * _MIX


class TableWriter:
    """Collects rows. `columns` are those besides the key: (name, numpy type)."""

    def __init__(self, folder: Path, columns: Sequence[tuple[str, str]]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._type = np.dtype([("key", "u8"), *columns])
        self._rows: list[tuple[Any, ...]] = []
        self._files = [open(folder / f"part-{n:02d}", "wb") for n in range(_PARTS)]  # noqa: SIM115

    def add(self, *row: Any) -> None:
        """Appends a row, its key first."""
        self._rows.append(row)
        if len(self._rows) >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        rows = np.array(self._rows, self._type)
        self._rows = []
        parts = _mixed(rows["key"]) >> _BITS
        order = np.argsort(parts, kind="stable")
        starts = np.searchsorted(parts[order], np.arange(_PARTS + 1, dtype=np.uint64))
        for number, file in enumerate(self._files):
            file.write(rows[order[starts[number] : starts[number + 1]]].tobytes())

    def finish(self) -> Table:
        """Sorts, and returns the table; of equal keys the first row stays."""
        if self._rows:
            self._flush()
        with open(self._folder / "keys", "wb") as keys, open(self._folder / "rows", "wb") as out:
            for number, file in enumerate(self._files):
                file.close()
                part = self._folder / f"part-{number:02d}"
                rows = np.fromfile(part, self._type)
                mixed = _mixed(rows["key"])
                _, first = np.unique(mixed, return_index=True)
                keys.write(mixed[first].tobytes())
                out.write(rows[first].tobytes())
                os.unlink(part)
        return Table(self._folder, self._type)


class Table:
    """A finished table. It can be sent to other processes, which open its files."""

    def __init__(self, folder: Path, kind: np.dtype) -> None:
        self._folder, self._type = folder, kind
        self._keys = self._open("keys", np.dtype("u8"))
        self._rows = self._open("rows", kind)

    def _open(self, name: str, kind: np.dtype) -> np.ndarray:
        path = self._folder / name
        return np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)

    def __reduce__(self) -> Any:
        return Table, (self._folder, self._type)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, keys: Sequence[int]) -> list[np.void | None]:
        """Returns the row of each key, None where there is none."""
        wanted = _mixed(np.array(keys, np.uint64))
        places = np.searchsorted(self._keys, wanted)
        inside = np.minimum(places, max(0, len(self._keys) - 1))
        there = self._keys[inside] == wanted if len(self._keys) else np.zeros(len(wanted), bool)
        return [self._rows[p] if t else None for p, t in zip(inside, there, strict=True)]
