"""Parquet files with a column of image bytes, or of paths inside a folder.

A unit of work is a row group, which is read once, a few rows at a time. A large one is several
units to the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError, error_line
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Reject
from finehard.sources.rows import (
    IMAGE_COLUMNS,
    KEY_COLUMNS,
    LICENSE_COLUMNS,
    NO_URLS,
    PATH_COLUMNS,
    TEXT_COLUMNS,
    URL_COLUMNS,
    metadata_roles,
    pick,
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

_BATCH = 16
_BUFFER = 1 << 20
"""Bytes read at a time, so that a column of a large row group is never in memory whole."""
_MAX_ROWS_PER_BYTE = 64
"""A footer that claims more rows is false: every row has at least the name of an image."""

suffixes = (".parquet",)


class Unsuitable(FinehardError):
    """The file has no column that fits."""


def columns(schema: pa.Schema, uri: str, config: SourceConfig) -> dict[str, str]:
    """Returns the columns by role. Raises `Unsuitable` when there is neither image nor path."""

    def chosen(asked: str | None, usual: tuple[str, ...], fits: Callable[[Any], bool]) -> Any:
        if asked is not None and asked not in schema.names:
            raise Unsuitable(f"{uri} has no column {asked!r}; it has {', '.join(schema.names)}")
        names = (asked,) if asked else usual
        return pick(schema.names, names, lambda name: fits(_plain(schema.field(name).type)))

    found = {
        "image": chosen(config.image_column, IMAGE_COLUMNS, _is_image),
        "path": chosen(config.path_column, PATH_COLUMNS, _is_string),
        "text": chosen(config.text_column, TEXT_COLUMNS, _is_text),
        "key": chosen(config.key_column, KEY_COLUMNS, _is_key),
        "url": chosen(None, URL_COLUMNS, _is_string),
        "license": chosen(None, LICENSE_COLUMNS, _is_string),
        **{role: name if name in schema.names else None for name, role in metadata_roles(config)},
    }
    if not found["image"] and not found["path"]:
        hint = f". {NO_URLS}" if found["url"] else ""
        raise Unsuitable(
            f"{uri} has no column of image bytes ({', '.join(IMAGE_COLUMNS)}) or paths "
            f"({', '.join(PATH_COLUMNS)}); name it with source.image_column or "
            f"source.path_column{hint}"
        )
    if found["image"]:
        found["path"] = None
    return {role: name for role, name in found.items() if name}


def is_img2dataset_list(schema: pa.Schema) -> bool:
    """Returns whether the columns are those of the list that img2dataset writes beside images."""
    return {"url", "key", "status"} <= set(schema.names)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the values in a dictionary, a run-length encoding or an extension."""
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):  # the Hub's image feature: {bytes, path}
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(_plain(kind.field(index).type))
    if _is_list(kind):
        return bool(kind.value_type in (pa.uint8(), pa.int8()))
    return _is_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _is_string(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    usual = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return usual or types.is_list_view(kind) or types.is_large_list_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    if _is_list(kind):
        kind = _plain(kind.value_type)
    return _is_string(kind) or _is_binary(kind)


def _is_key(kind: pa.DataType) -> bool:
    return _is_string(kind) or pa.types.is_integer(kind) or kind == pa.binary(16)  # a UUID


class Looked(NamedTuple):
    """What a file's footer says: its units, whether its rows name files, the columns that are not
    read; or why the file cannot be used."""

    units: tuple[Unit, ...]
    names_files: bool = False
    unread_columns: tuple[str, ...] = ()
    error: str = ""


def look(table: pq.ParquetFile, file: SourceFile, config: SourceConfig) -> Looked:
    """Looks at `file`, which is open as `table`."""
    try:
        by_role = columns(table.schema_arrow, file.uri, config)
        sizes = _groups(table, file.size)
    except Unsuitable as error:
        return Looked((_whole(file),), error=str(error))
    except (pa.ArrowException, OSError, ValueError) as error:
        line = error_line(error, 160)
        return Looked((_whole(file),), error=f"{file.uri} is no readable Parquet file: {line}")
    found = by_role.values()
    unread_columns = tuple(name for name in table.schema_arrow.names if name not in found)
    return Looked(tuple(_split(sizes, file)), "path" in by_role, unread_columns)


def unreadable(file: SourceFile, error: Exception) -> Looked:
    """Returns what is known of a file whose footer cannot be read."""
    line = error_line(error, 160)
    return Looked((_whole(file),), error=f"{file.uri} is no readable Parquet file: {line}")


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Yields one unit per row group."""
    try:
        with storage.open_read(file.uri) as opened:
            looked = look(pq.ParquetFile(opened), file, config)
    except (pa.ArrowException, OSError, ValueError) as error:
        looked = unreadable(file, error)
    yield from looked.units


def _split(sizes: list[int], file: SourceFile) -> Iterator[Unit]:
    first = 0
    for group, size in enumerate(sizes):
        if size:
            unit = unit_id(file, f"{group}:0")
            yield Unit(unit, file, first, first + size, samples=size)
        first += size


def _part(file: SourceFile, group: int, size: int, row: int, config: SourceConfig) -> str:
    """Returns the id under which the journal has `row` of a row group with `size` rows."""
    step = size if size <= 4 * config.unit_size else config.unit_size
    # the id is relative to the group: rows added to another group do not change it
    return unit_id(file, f"{group}:{row // max(step, 1) * step}")


def _whole(file: SourceFile) -> Unit:
    """Returns the one unit of a file that cannot be read: `read` says why."""
    return Unit(unit_id(file, ""), file, 0, 1, samples=1)


def _groups(file: pq.ParquetFile, size: int) -> list[int]:
    """Returns the rows of each row group. Raises `ValueError` when the footer is impossible."""
    meta = file.metadata
    sizes = [meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
    if any(rows < 0 for rows in sizes) or sum(sizes) > _MAX_ROWS_PER_BYTE * size:
        raise ValueError(f"its footer claims {sum(sizes)} rows in {size} bytes")
    return sizes


def position(source: str) -> int | None:
    """Returns the number of the row `source`."""
    row = source.rpartition("#row=")[2]
    return int(row) if row.isdecimal() else None


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the unit's rows. A row in a damaged page is a reject."""
    uri = unit.file.uri
    number = unit.start
    try:
        with storage.open_read(uri) as opened:
            file = pq.ParquetFile(opened, buffer_size=_BUFFER)
            groups = _groups(file, unit.file.size)
            by_role = columns(file.schema_arrow, uri, config)
            rows = enumerate(_rows(file, groups, unit, by_role, config), unit.start)
            taken = (row for row in rows if wanted(unit.file, f"{uri}#row={row[0]}"))
            load = partial(_load, config)
            # paths in the rows may lead into an object store
            loaded = ordered_map(load, taken) if storage.is_remote(uri) else map(load, taken)
            for number, sample in loaded:
                yield sample
                number += 1
    except (pa.ArrowException, OSError, ValueError, Unsuitable) as error:
        detail = error_line(error, 300)
        for row_number in range(number, unit.stop):
            key, source = safe_key(_name(unit, row_number)), f"{uri}#row={row_number}"
            yield Reject(key, source, "source", "unreadable_archive", detail)


def paths(file: SourceFile, config: SourceConfig) -> Iterator[str]:
    """Yields the paths that the rows of `file` name, as far as it can be read."""
    try:
        with storage.open_read(file.uri) as opened:
            table = pq.ParquetFile(opened, buffer_size=_BUFFER)
            name = columns(table.schema_arrow, file.uri, config).get("path")
            if name:
                for batch in table.iter_batches(4096, columns=[name]):
                    yield from (v for v in map(_value, batch.column(0)) if isinstance(v, str))
    except (pa.ArrowException, OSError, ValueError, Unsuitable):
        return  # `read` says so


def _name(unit: Unit, row: int) -> str:
    return f"{unit.file.name[:-8]}_{row:09d}"


def _rows(
    file: pq.ParquetFile,
    groups: list[int],
    unit: Unit,
    by_role: dict[str, str],
    config: SourceConfig,
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Yields the unit's rows, values by role, with a few rows of one row group in memory. Each is
    with the unit under which the journal has it."""
    names = list(by_role.values())
    end = 0
    for group, size in enumerate(groups):
        begin = position = end
        end += size
        if end <= unit.start or position >= unit.stop:
            continue
        for batch in file.iter_batches(_BATCH, row_groups=[group], columns=names):
            skipped = max(0, unit.start - position)
            part = batch.slice(skipped, max(0, unit.stop - position - skipped))
            held = [part.column(name) for name in names]
            for row in range(len(part)):
                within = position + skipped + row - begin
                journaled = unit._replace(id=_part(unit.file, group, size, within, config))
                yield (
                    journaled,
                    {role: _value(cells[row]) for role, cells in zip(by_role, held, strict=True)},
                )
            position += len(batch)
            if position >= unit.stop:
                return
        if position < min(end, unit.stop):
            raise ValueError(f"row group {group} has fewer rows than its footer claims")


def _value(cell: Any) -> Any:
    try:
        if _is_list(cell.type) and cell.type.value_type in (pa.uint8(), pa.int8()):
            return None if cell.values is None else cell.values.to_numpy(False).tobytes()
        return cell.as_py()
    except UnicodeDecodeError:  # Parquet's strings need not be UTF-8
        if isinstance(cell, pa.DictionaryScalar):
            return _value(cell.value)
        if _is_list(cell.type):
            return [_value(value) for value in cell.values]
        return cell.as_buffer().to_pybytes().decode("utf-8", "replace")
    except (ValueError, OverflowError):
        return None


def _load(
    config: SourceConfig, numbered: tuple[int, tuple[Unit, dict[str, Any]]]
) -> tuple[int, Loaded | Reject]:
    number, (unit, row) = numbered
    item = sample(unit, f"{unit.file.uri}#row={number}", row, _name(unit, number), config)
    return number, replace(item, unit=unit.id) if isinstance(item, Reject) else item
