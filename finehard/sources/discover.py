"""Finds what an input is: one file, a folder of tars or Parquet files, a folder of images."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

from finehard import storage
from finehard.errors import FinehardError, UsageError
from finehard.sources.source import SourceFile

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
        return _parquet(file, name)
    raise UsageError(f"input {path} is neither a folder nor a .tar or .parquet file")


def _in_folder(path: str) -> list[SourceFile]:
    files = list(storage.walk(path))
    base = len(path.rstrip("/")) + 1
    tars = [f for f in files if f.uri.endswith(".tar")]
    if tars:
        return [SourceFile("tar", f.uri, f.uri[base:], f.size) for f in tars]
    parquets = [f for f in files if f.uri.endswith(".parquet")]
    if parquets:
        return [s for f in parquets for s in _parquet(f, f.uri[base:])]
    images = [f for f in files if f.uri.lower().endswith(IMAGE_SUFFIXES)]
    return [SourceFile("folder", path, "", len(images))] if images else []


def _parquet(file: storage.File, name: str) -> list[SourceFile]:
    try:
        with storage.open_read(file.uri) as opened:
            columns = set(pq.ParquetFile(opened).schema_arrow.names)
            if not columns >= REJECT_COLUMNS:
                return [SourceFile("parquet", file.uri, name, file.size)]
            sources = pq.read_table(opened, columns=["source"]).column("source").to_pylist()
    except (pa.ArrowException, OSError) as error:
        line = " ".join(str(error).split())[:160]
        raise FinehardError(f"{file.uri} is no readable Parquet file: {line}") from None
    return _rejected(sources)


def _rejected(sources: list[str]) -> list[SourceFile]:
    """The files that rejected inputs came from, each with the sources to take."""
    wanted: dict[str, set[str]] = {}
    for source in sources:
        wanted.setdefault(source.split("#", 1)[0], set()).add(source)
    files = []
    for uri, only in sorted(wanted.items()):
        if uri.endswith((".tar", ".parquet")):
            kind, folder = uri.rsplit(".", 1)[1], uri
        else:  # a loose image: its folder is the source
            kind, folder = "folder", os.path.dirname(uri)
        if not storage.exists(uri) and not storage.is_dir(folder):
            raise FinehardError(f"{uri}, named in the rejects, is no longer there")
        size = storage.size(uri) if storage.exists(uri) else 0
        files.append(SourceFile(kind, folder, uri.rsplit("/", 1)[-1], size, frozenset(only)))
    return _merged(files)


def _merged(files: list[SourceFile]) -> list[SourceFile]:
    merged: dict[tuple[str, str], SourceFile] = {}
    for file in files:
        place = (file.kind, file.uri)
        if place in merged:
            only = (merged[place].only or frozenset()) | (file.only or frozenset())
            merged[place] = merged[place]._replace(only=only)
        else:
            merged[place] = file._replace(name="" if file.kind == "folder" else file.name)
    return list(merged.values())
