"""Finds what an input is: one file, a folder of tars or Parquet files, a folder of images."""

from __future__ import annotations

import os
import re

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.sources.source import SourceFile, safe_key

REJECT_COLUMNS = {"key", "source", "stage", "reason", "detail"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def discover(path: str) -> list[SourceFile]:
    """The source files of the input at `path`, sorted by name.

    In a folder with tars, Parquet files beside them are img2dataset's sidecars and left out; loose
    images count only where there are neither. Raises `UsageError` when nothing is at `path`, and
    `FinehardError` when it holds nothing to read.
    """
    path = storage.local(path)
    if storage.is_dir(path):
        found = _in_folder(path)
        if not found:
            raise FinehardError(
                f"no images in {path}: expected .tar or .parquet files, or "
                + ", ".join(IMAGE_SUFFIXES)
            )
        return found
    if not storage.exists(path):
        raise UsageError(f"input {path} does not exist")
    name = path.rsplit("/", 1)[-1]
    file = storage.File(path, storage.size(path))
    if name.endswith(".tar"):
        return [SourceFile("tar", path, name, file.size)]
    if name.endswith(".parquet"):
        return _merged(_parquet(file, name))
    raise UsageError(f"input {path} is neither a folder nor a .tar or .parquet file")


def _in_folder(path: str) -> list[SourceFile]:
    files = list(storage.walk(path))
    base = len(path.rstrip("/")) + 1
    tars = [f for f in files if f.uri.endswith(".tar")]
    if tars:
        return [SourceFile("tar", f.uri, f.uri[base:], f.size) for f in tars]
    parquets = [f for f in files if f.uri.endswith(".parquet")]
    if parquets:
        return _merged([s for f in parquets for s in _parquet(f, f.uri[base:])])
    images = [f for f in files if f.uri.lower().endswith(IMAGE_SUFFIXES)]
    return [SourceFile("folder", path, "", len(images))] if images else []


def _parquet(file: storage.File, name: str) -> list[SourceFile]:
    try:
        with storage.open_read(file.uri) as opened:
            schema = pq.ParquetFile(opened).schema_arrow
            if set(schema.names) != REJECT_COLUMNS or set(schema.types) != {pa.string()}:
                return [SourceFile("parquet", file.uri, name, file.size)]
            rows = pq.read_table(opened, columns=["key", "source"]).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise FinehardError(f"{file.uri} is no readable Parquet file: {line}") from None
    return [_rejected(row["key"] or "", row["source"]) for row in rows if row["source"] is not None]


_ARCHIVE = re.compile(r"\.(tar|parquet)(?=#|$)")


def _rejected(key: str, source: str) -> SourceFile:
    """The file that a rejected input came from, with the one source to take."""
    prefixes = [source[: found.end()] for found in _ARCHIVE.finditer(source)]
    uri = next((p for p in prefixes if storage.exists(p) and not storage.is_dir(p)), None)
    if uri:
        kind = uri.rpartition(".")[2]
        return SourceFile(kind, uri, os.path.basename(uri), storage.size(uri), frozenset({source}))
    folder = _root(key.split("~", 1)[0], source)
    if not source.lower().endswith(IMAGE_SUFFIXES) or not storage.is_dir(folder):
        gone = prefixes[0] if prefixes else folder
        raise FinehardError(f"{gone}, named in the rejects, is no longer there")
    return SourceFile("folder", folder, "", 0, frozenset({source}))


def _root(key: str, source: str) -> str:
    """The folder that was read when the loose image `source` got its `key`."""
    parts = source.split("/")
    for start in range(len(parts) - 1, 0, -1):
        if safe_key(os.path.splitext("/".join(parts[start:]))[0]) == key:
            return "/".join(parts[:start]) or "/"
    return os.path.dirname(source)


def _merged(files: list[SourceFile]) -> list[SourceFile]:
    """A file for each place, with all the sources to take of it."""
    plain = [file for file in files if file.only is None]
    chosen: dict[tuple[str, str], set[str]] = {}
    first = {(file.kind, file.uri): file for file in files if file.only is not None}
    for file in files:
        chosen.setdefault((file.kind, file.uri), set()).update(file.only or ())
    archives = [uri for kind, uri in first if kind != "folder"]
    base = os.path.commonprefix(archives).rfind("/") + 1
    for place, file in first.items():
        if file.kind != "folder":  # two files of one name in different folders are told apart
            file = file._replace(name=file.uri[base:])
        plain.append(file._replace(only=frozenset(chosen[place])))
    return plain
