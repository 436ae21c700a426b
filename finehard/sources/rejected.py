"""Rejects fed back: the rows of a dataset's rejected/*.parquet select samples of their inputs."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.rejects import REMOVED
from finehard.sources import folder
from finehard.sources.format import load_format
from finehard.sources.source import SourceConfig, SourceFile, safe_key

T = TypeVar("T")

_COLUMNS = {"key", "source", "stage", "reason", "detail"}


class Row(NamedTuple):
    """A reject: its key, and its source in the input that it was read from."""

    key: str
    source: str


def is_rejects(schema: pa.Schema) -> bool:
    """Returns whether a Parquet file with `schema` is a table of rejects."""
    return set(schema.names) == _COLUMNS and set(schema.types) == {pa.string()}


def rows(table: pq.ParquetFile) -> list[Row]:
    """Returns the rejects in `table` that have a source, but none that was removed on request."""
    rejects = table.read(columns=["key", "source", "reason"]).to_pylist()
    return [
        Row(row["key"] or "", row["source"])
        for row in rejects
        if row["source"] is not None and row["reason"] != REMOVED
    ]


def files(rejects: list[Row], config: SourceConfig) -> list[SourceFile]:
    """Returns the files that `rejects` were read from, each with the sources to read again.

    The store is asked once per file and folder. Raises `FinehardError` where one is gone.
    """
    formats = _formats(config)
    archive = re.compile("(" + "|".join(map(re.escape, formats)) + r")(?=#|$)", re.IGNORECASE)
    archives = [[row.source[: m.end()] for m in archive.finditer(row.source)] for row in rejects]
    sizes = _each(_file_size, {uri for uris in archives for uri in uris})
    existing = [next((u for u in uris if sizes[u] is not None), None) for uris in archives]
    folders = [None if uri else _folder(row) for row, uri in zip(rejects, existing, strict=True)]
    exists = _each(storage.is_dir, {uri for uri in folders if uri})

    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row, uris, uri, loose in zip(rejects, archives, existing, folders, strict=True):
        if uri:
            suffix = next(suffix for suffix in formats if uri.lower().endswith(suffix))
            sources[formats[suffix], uri].add(row.source)
        elif loose and exists[loose] and _is_loose(row.source):
            sources["folder", loose].add(row.source)
        else:
            raise FinehardError(f"{[*uris, loose][0]}, named in the rejects, is no longer there")
    # names relative to the common folder: files of one name in different folders differ
    base = os.path.commonprefix([uri for spec, uri in sources if spec != "folder"]).rfind("/") + 1
    return [
        SourceFile(
            spec, uri, "" if spec == "folder" else uri[base:], sizes.get(uri) or 0, len(only),
            only=frozenset(only),
        )
        for (spec, uri), only in sources.items()
    ]  # fmt: skip


def _is_loose(source: str) -> bool:
    """Returns whether `source` can be an image in a folder."""
    return source.lower().endswith(folder.suffixes) or "." not in os.path.basename(source)


def _formats(config: SourceConfig) -> dict[str, str]:
    """Returns the format of each suffix that an archive named in a reject can have."""
    formats = {
        suffix: spec for spec in ("tar", "parquet", "list") for suffix in load_format(spec).suffixes
    }
    if config.format not in ("auto", "folder"):
        formats |= dict.fromkeys(load_format(config.format).suffixes, config.format)
    return formats


def _each(ask: Callable[[str], T], uris: set[str]) -> dict[str, T]:
    ordered = sorted(uris)
    return dict(zip(ordered, ordered_map(ask, ordered), strict=True))


def _file_size(uri: str) -> int | None:
    """Returns the size of the file at `uri` in bytes, or None where there is none."""
    try:
        if not storage.is_remote(uri) and storage.is_dir(uri):
            return None
        return storage.size(uri)
    except (OSError, ValueError):  # the text of a reject may be no path at all
        return None


def _folder(row: Row) -> str:
    """Returns the input folder from which the loose image `row` got its key."""
    key = row.key.split("~", 1)[0]
    parts = row.source.split("/")
    for start in range(len(parts) - 1, 0, -1):
        if safe_key(os.path.splitext("/".join(parts[start:]))[0]) == key:
            return "/".join(parts[:start]) or "/"
    return os.path.dirname(row.source)
