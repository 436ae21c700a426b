"""What each unit of work came to, saved when it is through, so that a later run need not read it.

Under `_journal/_units/<settings>/<two digits>/` a unit has a file of packed samples and rejects
(`<unit>-<random>.records`, named anew at each attempt, so that the locations which an attempt gave
out stay right) and `<unit>.index`, which says where in it each is. The index is written last, after
the unit's rows in the journal, and replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from finehard.dataset.layout import CHECKPOINTS, JOURNAL
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.records import Bytes

_DIGEST = 16
_RECORDS = ".records"
_INDEX = ".index"
_CURRENT = "current"
"""File with the settings that the checkpoints of an output belong to."""


class Row(NamedTuple):
    """A finished sample or reject: its key and source, and its place in a file of packed ones.

    `may_pass`: a later run tries it again.
    """

    key: str
    source: str
    where: Bytes
    rejected: bool
    may_pass: bool


@dataclass(frozen=True)
class Checkpoint:
    """What a unit came to. `identity` is that of its input."""

    identity: str
    rows: tuple[Row, ...]

    def settled(self) -> tuple[Row, ...]:
        """Returns the rows that a later run takes as they are."""
        return tuple(row for row in self.rows if not row.may_pass)

    def sources_to_try(self) -> frozenset[str]:
        """Returns the sources of the others."""
        return frozenset(row.source for row in self.rows if row.may_pass)


def prepare(output: str, settings: str) -> None:
    """Deletes the checkpoints that belong to other settings than these, given as a digest.

    Nobody else may build `output` meanwhile.
    """
    folder = storage.join(output, JOURNAL, CHECKPOINTS)
    current = storage.join(folder, _CURRENT)
    try:
        if storage.read_all(current) == settings.encode():
            return
    except OSError:
        pass
    storage.delete_tree(folder, keep=settings)  # joined processes made these
    storage.write(current, settings.encode())


def folder_of(output: str, settings: str, unit: str) -> str:
    """Returns the folder of a unit's files."""
    return storage.join(output, JOURNAL, CHECKPOINTS, settings, unit[:2])


def new_records(folder: str, unit: str) -> str:
    """Returns the name of a new file for the packed records of `unit`."""
    return storage.join(folder, f"{unit}-{os.urandom(6).hex()}{_RECORDS}")


def save(folder: str, unit: str, checkpoint: Checkpoint) -> None:
    """Saves what `unit` came to. The files with its records are in `folder`, and whole."""
    files = sorted({row.where.uri for row in checkpoint.rows})
    number = {uri: index for index, uri in enumerate(files)}
    content = {
        "identity": checkpoint.identity,
        "files": [uri.rsplit("/", 1)[1] for uri in files],
        "rows": [
            [r.key, r.source, number[r.where.uri], *r.where[1:], r.rejected, r.may_pass]
            for r in checkpoint.rows
        ],
    }
    data = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 1)
    storage.write(storage.join(folder, unit + _INDEX), _digest(data) + data)


def load(folder: str, unit: str, identity: str) -> Checkpoint | None:
    """Returns what `unit` came to; None if it is not through, its input is another than of
    `identity`, or a file is damaged or gone. Raises `FinehardError` when the store fails."""
    try:
        data = storage.read_all(storage.join(folder, unit + _INDEX))
        if data[:_DIGEST] != _digest(data[_DIGEST:]):
            return None
        content = json.loads(zlib.decompress(data[_DIGEST:]))
        if content["identity"] != identity:
            return None
        files = [storage.join(folder, name) for name in content["files"]]
        rows = tuple(_rows(content["rows"], files))
        for uri in files:
            end = max(r.where.offset + r.where.length for r in rows if r.where.uri == uri)
            if storage.size(uri) < end:
                return None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FinehardError(f"cannot read checkpoints in {folder}: {error.strerror}") from error
    return Checkpoint(identity, rows)


def _rows(rows: list[list], files: list[str]) -> Iterator[Row]:
    for key, source, file, offset, length, rejected, may_pass in rows:
        yield Row(key, source, Bytes(files[file], offset, length), rejected, may_pass)


def forget(records: str) -> None:
    """Makes later runs read the unit again that has a record in the file `records`, if that is a
    checkpoint's."""
    if records.endswith(_RECORDS):
        storage.delete([records.rpartition("-")[0] + _INDEX])


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
