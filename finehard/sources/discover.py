"""Lists the files of an input, and counts their samples: each file is opened once, in parallel."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError, UsageError, error_line
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.sources import folder, parquet, rejected
from finehard.sources.format import first, inspect, load_format
from finehard.sources.source import SourceConfig, SourceFile

_REJECTS = "rejects"
"""Stands for a format where a file can only be a table of rejects."""


def discover(path: str, config: SourceConfig, limit: int | None = None) -> list[SourceFile]:
    """Returns the source files of the input at `path` with their counts, sorted by name.

    With a `limit`, these are the files and units of the first `limit` samples in that order, and
    no more files are opened than that takes (some are looked at ahead).

    With `config.format` "auto", Parquet files beside tars are img2dataset's metadata and left out,
    and loose images are read only in a folder with neither. A table of rejects is recognised
    whatever the format, and stands for the files that its rows name. Raises `UsageError` when
    nothing is at `path` or `limit` is less than 1, and `FinehardError` when there is nothing to
    read.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: give a number of images, at least 1")
    path = storage.local(path)
    if storage.is_dir(path):
        files = _in_folder(path, config)
    elif storage.exists(path):
        files = [_single(path, config)]
    else:
        raise UsageError(f"input {path} does not exist")
    sources = _sources(files, config)
    return list(sources) if limit is None else first(sources, limit, config)


def _sources(files: list[SourceFile], config: SourceConfig) -> Iterator[SourceFile]:
    """Yields `files` with their counts, then those that tables of rejects among them name."""
    rows: list[rejected.Row] = []
    for result in ordered_map(partial(_inspect, config), files):
        if isinstance(result, SourceFile):
            yield result
        else:
            rows += result
    yield from rejected.files(rows, config)


def _single(path: str, config: SourceConfig) -> SourceFile:
    name = path.rsplit("/", 1)[-1]
    spec = config.format
    if spec == "auto":
        spec = next((s for s in ("tar", "parquet") if name.endswith(f".{s}")), "")
    if spec in ("", "folder"):
        raise UsageError(f"input {path} is neither a folder nor a .tar or .parquet file")
    return SourceFile(spec, path, name, storage.size(path))


def _in_folder(path: str, config: SourceConfig) -> list[SourceFile]:
    files = list(storage.walk(path))
    base = len(path.rstrip("/")) + 1

    def of(spec: str, suffixes: tuple[str, ...]) -> list[SourceFile]:
        if spec == "folder":
            images = folder.image_names(path, files)
            return [SourceFile(spec, path, "", len(images), len(images))] if images else []
        matching = [f for f in files if f.uri.endswith(suffixes)]
        return [SourceFile(spec, f.uri, f.uri[base:], f.size) for f in matching]

    specs = ("tar", "parquet", "folder") if config.format == "auto" else (config.format,)
    suffixes = {spec: load_format(spec).suffixes for spec in specs}
    candidates = (of(spec, suffixes[spec]) for spec in specs)
    chosen = next((c for c in candidates if c), None) or of(_REJECTS, (".parquet",))
    if not chosen:
        expected = ".tar or .parquet files, or " if config.format == "auto" else ""
        raise FinehardError(
            f"no images in {path}: expected {expected}{', '.join(suffixes[specs[-1]])}"
        )
    return chosen


def _inspect(config: SourceConfig, file: SourceFile) -> SourceFile | list[rejected.Row]:
    """Counts the samples of `file`; returns the rows of a table of rejects instead."""
    if file.samples is not None:
        return file
    if not file.uri.endswith(".parquet"):
        return inspect(file, config)
    try:
        with storage.open_read(file.uri) as opened:
            table = pq.ParquetFile(opened)
            if rejected.is_rejects(table.schema_arrow):
                return rejected.rows(table)
            if file.format == "parquet":
                units = tuple(parquet.split(table, file, config))
                return file._replace(samples=sum(u.samples or 0 for u in units), units=units)
    except (pa.ArrowException, OSError, ValueError) as error:
        line = error_line(error, 160)
        raise FinehardError(f"{file.uri} is no readable Parquet file: {line}") from None
    if file.format == _REJECTS:
        suffixes = ", ".join(load_format(config.format).suffixes)
        raise FinehardError(f"{file.uri} is no table of rejects, and no {suffixes} file is there")
    return inspect(file, config)
