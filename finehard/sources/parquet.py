"""Parquet files with a column of image bytes, or of paths inside a folder.

The rows are untrusted: URLs are never fetched, and paths cannot leave `source.image_root`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError, error_line
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes, Record, Reject
from finehard.sources.source import (
    NOWHERE,
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    clean_text,
    safe_key,
    unit_id,
    wanted,
)

IMAGE_COLUMNS = ("image", "image_bytes", "bytes", "jpg", "jpeg", "png", "webp")
PATH_COLUMNS = ("path", "image_path", "file_name", "filename", "file")
TEXT_COLUMNS = ("alt_text", "caption", "text", "TEXT", "txt")
KEY_COLUMNS = ("key", "__key__", "id", "uid")
_BATCH = 16
_MAX_ROWS_PER_BYTE = 64
"""A footer that claims more rows is false: every row has at least the name of an image."""

suffixes = (".parquet",)


def _columns(schema: pa.Schema, uri: str, config: SourceConfig) -> dict[str, str]:
    """Returns the columns by role. Raises `FinehardError` when there is neither image nor path."""

    def pick(asked: str | None, usual: tuple[str, ...], fits: Any) -> str | None:
        if asked is not None and asked not in schema.names:
            raise FinehardError(f"{uri} has no column {asked!r}; it has {', '.join(schema.names)}")
        names = (asked,) if asked else usual
        return next((n for n in names if n in schema.names and fits(schema.field(n).type)), None)

    def binary(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):  # the Hub's image feature: {bytes, path}
            index = kind.get_field_index("bytes")
            return index >= 0 and binary(kind.field(index).type)
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    def text(kind: pa.DataType) -> bool:
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)

    columns = {
        "image": pick(config.image_column, IMAGE_COLUMNS, binary),
        "path": pick(config.path_column, PATH_COLUMNS, text),
        "text": pick(config.text_column, TEXT_COLUMNS, text),
        "key": pick(config.key_column, KEY_COLUMNS, lambda kind: text(kind) or _integer(kind)),
        "url": pick(None, ("url", "URL"), text),
        "license": pick(None, ("license", "LICENSE"), text),
    }
    if not columns["image"] and not columns["path"]:
        raise FinehardError(
            f"{uri} has no column of image bytes ({', '.join(IMAGE_COLUMNS)}) or paths "
            f"({', '.join(PATH_COLUMNS)}); name it with source.image_column or source.path_column"
        )
    if columns["image"]:
        columns["path"] = None
    return {role: name for role, name in columns.items() if name}


def _integer(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind)


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Yields one unit per row group, or per `unit_size` rows of a group larger than 4 units.

    Raises `FinehardError` when no column fits.
    """
    try:
        with storage.open_read(file.uri) as opened:
            split_file = list(split(pq.ParquetFile(opened), file, config))
    except (pa.ArrowException, OSError, ValueError):
        split_file = [_whole(file)]
    yield from split_file


def split(table: pq.ParquetFile, file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Yields the units of `file`, which is open as `table`. Raises as `units`."""
    try:
        _columns(table.schema_arrow, file.uri, config)
        sizes = _groups(table, file.size)
    except (pa.ArrowException, OSError, ValueError):
        yield _whole(file)
        return
    first = 0
    for group, size in enumerate(sizes):
        step = size if size <= 4 * config.unit_size else config.unit_size
        for start in range(0, size, max(step, 1)):
            stop = min(start + step, size)
            # the id is relative to the group: rows added to another group do not change it
            unit = unit_id(file, f"{group}:{start}")
            yield Unit(unit, file, first + start, first + stop, samples=stop - start)
        first += size


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
            file = pq.ParquetFile(opened)
            groups = _groups(file, unit.file.size)
            columns = _columns(file.schema_arrow, uri, config)
            rows = enumerate(_rows(file, groups, unit, columns), unit.start)
            taken = (row for row in rows if wanted(unit.file, f"{uri}#row={row[0]}"))
            load = partial(_load, unit, config)
            # paths in the rows may lead into an object store
            loaded = ordered_map(load, taken) if storage.is_remote(uri) else map(load, taken)
            for number, sample in loaded:
                yield sample
                number += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = error_line(error, 200)
        for row_number in range(number, unit.stop):
            key = safe_key(f"{unit.file.name[:-8]}_{row_number:09d}")
            source = f"{uri}#row={row_number}"
            yield Reject(key, source, "source", "unreadable_archive", detail)


def _rows(
    file: pq.ParquetFile, groups: list[int], unit: Unit, columns: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Yields the unit's rows, values by role, with a few rows of one row group in memory."""
    names = list(columns.values())
    end = 0
    for group, size in enumerate(groups):
        position, end = end, end + size
        if end <= unit.start or position >= unit.stop:
            continue
        for batch in file.iter_batches(_BATCH, row_groups=[group], columns=names):
            skipped = max(0, unit.start - position)
            part = batch.slice(skipped, max(0, unit.stop - position - skipped))
            held = [part.column(name) for name in names]
            for row in range(len(part)):
                yield {role: _value(cells[row]) for role, cells in zip(columns, held, strict=True)}
            position += len(batch)
            if position >= unit.stop:
                return
        if position < min(end, unit.stop):
            raise ValueError(f"row group {group} has fewer rows than its footer claims")


def _value(cell: Any) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:  # Parquet's strings need not be UTF-8
        return cell.as_buffer().to_pybytes().decode("utf-8", "replace")
    except (ValueError, OverflowError):
        return None


def _load(
    unit: Unit, config: SourceConfig, numbered: tuple[int, dict[str, Any]]
) -> tuple[int, Loaded | Reject]:
    number, row = numbered
    return number, _sample(unit, number, row, config)


def _sample(
    unit: Unit, number: int, values: dict[str, Any], config: SourceConfig
) -> Loaded | Reject:
    uri = unit.file.uri
    source = f"{uri}#row={number}"
    name = values.get("key")
    given = str(name) if isinstance(name, str | int) else f"{unit.file.name[:-8]}_{number:09d}"
    key = safe_key(given)
    image = values.get("image")
    path = values.get("path")
    if isinstance(image, dict):
        path = image.get("path")
        image = image.get("bytes")
    where = NOWHERE
    if image is None:
        if not isinstance(path, str) or not path:
            return Reject(key, source, "source", "missing_image", "the row names no image")
        root = storage.local(config.image_root or os.path.dirname(uri))
        target = _below(root, path)
        if target is None:
            return Reject(key, source, "source", "unsafe_member", f"{path[:200]} leaves {root}")
        try:
            where = Bytes(target, 0, storage.size(target))
            if where.length <= config.max_image_bytes:
                image = storage.read(where)
        except (OSError, EOFError) as error:
            return Reject(key, source, "source", "unreadable_image", str(error)[:200])
    if image is None or len(image) > config.max_image_bytes:
        size = where.length if image is None else len(image)
        return Reject(key, source, "source", "image_file_too_large", f"{size} bytes")
    record = Record(
        key=key,
        source=source,
        unit=unit.id,
        image=where,
        sha256="",
        alt_text=clean_text(values.get("text")),
        url=clean_text(values.get("url")),
        license=clean_text(values.get("license")),
    )
    return Loaded(record, image)


def _below(root: str, path: str) -> str | None:
    """Returns `path` inside `root`; None for other schemes, and for paths or links out of it."""
    if "\0" in path or "://" in path and not path.startswith(root):
        return None
    if storage.is_remote(root):
        inside = path.removeprefix(root).lstrip("/")
        return None if ".." in inside.split("/") else storage.join(root, inside)
    full = os.path.realpath(os.path.join(root, path))
    return full if full.startswith(os.path.realpath(root) + os.sep) else None
