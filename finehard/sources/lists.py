"""Lists of images: JSONL, CSV and TSV files whose rows name images by path, or by URL in a store.

Rows are found by their bytes, so a list is split into units and read a row at a time.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from finehard.errors import FinehardError, error_line
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Reject
from finehard.sources.rows import (
    KEY_COLUMNS,
    LICENSE_COLUMNS,
    PATH_COLUMNS,
    TEXT_COLUMNS,
    URL_COLUMNS,
    metadata_roles,
    sample,
)
from finehard.sources.source import (
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    safe_key,
    unit_id,
    wanted,
)
from finehard.sources.suffixes import LISTS

suffixes = LISTS
_MAX_ROW = 1 << 20
"""Bytes of the longest row; a longer one is cut there, and what follows is no row."""


class Row(NamedTuple):
    """A row: where it begins, its values by column, or what is wrong with it."""

    offset: int
    values: Mapping[str, Any]
    error: str = ""


def rows(file: BinaryIO, uri: str, start: int = 0) -> Iterator[Row]:
    """Yields the rows of a list from the byte `start`, where one begins. Blank lines are none."""
    delimiter = "\t" if uri.lower().endswith(".tsv") else ","
    table = uri.lower().endswith((".csv", ".tsv"))
    header = _cells(_record(file, True), delimiter) if table else []
    if start:
        file.seek(start)
    offset = file.tell()
    while record := _record(file, table):
        if record.strip():
            yield _row(offset, record, delimiter if table else None, header)
        offset = file.tell()


def _record(file: BinaryIO, quoted: bool) -> bytes:
    """Returns a line, or several where a quoted cell of a table holds line ends."""
    record = file.readline(_MAX_ROW)
    while quoted and record.count(b'"') % 2 and len(record) < _MAX_ROW:
        line = file.readline(_MAX_ROW - len(record))
        if not line:
            break
        record += line
    return record


def _row(offset: int, record: bytes, delimiter: str | None, header: list[str]) -> Row:
    if len(record) >= _MAX_ROW:
        return Row(offset, {}, f"a row of more than {_MAX_ROW} bytes")
    if delimiter is not None:
        cells = _cells(record, delimiter)
        if len(cells) > len(header):
            return Row(offset, {}, f"{len(cells)} cells in a table of {len(header)} columns")
        return Row(offset, {k: v for k, v in zip(header, cells, strict=False) if v})
    try:
        values = json.loads(record.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        return Row(offset, {}, f"no JSON: {error_line(error, 100)}")
    return Row(offset, values) if isinstance(values, dict) else Row(offset, {}, "no JSON object")


def _cells(record: bytes, delimiter: str) -> list[str]:
    text = record.decode("utf-8-sig", "replace").replace("\0", "").strip("\r\n")
    for attempt in (text, text.replace("\r", " ")):  # one that stands alone is an error
        with contextlib.suppress(csv.Error):
            return next(csv.reader([attempt + "\n"], delimiter=delimiter), [])
    return []


def columns(file: SourceFile, config: SourceConfig) -> list[str]:
    """Returns the columns that the first row has, or the header of a table; none if there is no
    row. Raises `OSError` if the file cannot be read."""
    with storage.open_read(file.uri) as opened:
        if file.uri.lower().endswith((".csv", ".tsv")):
            delimiter = "\t" if file.uri.lower().endswith(".tsv") else ","
            return _cells(_record(opened, True), delimiter)
        return list(next(rows(opened, file.uri), Row(0, {})).values)


def by_role(names: list[str], config: SourceConfig) -> dict[str, str]:
    """Returns the columns by role, path among them; none at all if there is no path."""
    usual = {
        "path": (config.path_column,) if config.path_column else (*PATH_COLUMNS, "image"),
        "text": (config.text_column,) if config.text_column else TEXT_COLUMNS,
        "key": (config.key_column,) if config.key_column else KEY_COLUMNS,
        "url": URL_COLUMNS,
        "license": LICENSE_COLUMNS,
        **{role: (name,) for name, role in metadata_roles(config)},
    }
    found = {role: next((n for n in asked if n in names), None) for role, asked in usual.items()}
    found["path"] = found["path"] or found["url"]
    return {role: name for role, name in found.items() if name} if found["path"] else {}


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Yields units of `unit_size` rows. Raises `FinehardError` if no column names images."""
    start = stop = number = 0
    try:
        _roles(file, config)
        with storage.open_read(file.uri) as opened:
            for row in rows(opened, file.uri):
                if number == config.unit_size:
                    yield Unit(unit_id(file, str(start)), file, start, row.offset, samples=number)
                    start, number = row.offset, 0
                stop, number = row.offset + 1, number + 1
    except OSError:
        stop, number = start + 1, number + 1  # `read` fails too, which makes a reject
    if number:
        yield Unit(unit_id(file, str(start)), file, start, stop, samples=number)


def _roles(file: SourceFile, config: SourceConfig) -> dict[str, str]:
    names = columns(file, config)
    roles = by_role(names, config)
    if not roles:
        raise FinehardError(
            f"{file.uri} has no column of paths ({', '.join(PATH_COLUMNS)}): it has "
            f"{', '.join(names)[:200] or 'no row'}; name it with source.path_column"
        )
    return roles


def position(source: str) -> int | None:
    """Returns the byte at which the row `source` begins."""
    offset = source.rpartition("#@")[2]
    return int(offset) if offset.isdecimal() else None


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the unit's rows; one that is damaged or names no image is a reject."""
    uri = unit.file.uri
    try:
        roles = _roles(unit.file, config)
        with storage.open_read(uri) as opened:
            taken = _taken(opened, unit)
            load = partial(_load, unit, roles, config)
            # paths in the rows may lead into an object store
            yield from ordered_map(load, taken) if storage.is_remote(uri) else map(load, taken)
    except OSError as error:
        key, source = safe_key(f"{unit.file.name}_{unit.start}"), f"{uri}#@{unit.start}"
        yield Reject(key, source, "source", "unreadable_archive", error_line(error, 200))


def _taken(file: BinaryIO, unit: Unit) -> Iterator[Row]:
    for row in rows(file, unit.file.uri, unit.start):
        if row.offset >= unit.stop:
            return
        if wanted(unit.file, f"{unit.file.uri}#@{row.offset}"):
            yield row


def _load(unit: Unit, roles: Mapping[str, str], config: SourceConfig, row: Row) -> Loaded | Reject:
    source = f"{unit.file.uri}#@{row.offset}"
    name = f"{unit.file.name.rpartition('.')[0]}_{row.offset:09d}"
    if row.error:
        return Reject(safe_key(name), source, "source", "unreadable_archive", row.error)
    values = {role: row.values.get(column) for role, column in roles.items()}
    path = values["path"]
    if isinstance(path, str) and path:
        name = path.rpartition("://")[2].rpartition(".")[0] or path
    return sample(unit, source, values, name, config)


def paths(file: SourceFile, config: SourceConfig) -> Iterator[str]:
    """Yields the paths that the rows of `file` name, as far as it can be read."""
    try:
        name = _roles(file, config)["path"]
        with storage.open_read(file.uri) as opened:
            for row in rows(opened, file.uri):
                if isinstance(path := row.values.get(name), str):
                    yield path
    except (OSError, FinehardError):
        return  # `read` says so
