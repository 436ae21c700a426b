"""A folder of images; the text in NAME.txt is the alt text of NAME.jpg."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial

from finehard.images import SUFFIXES
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes, Record, Reject
from finehard.sources.source import (
    Loaded,
    SourceConfig,
    SourceFile,
    Unit,
    clean_text,
    cuts,
    safe_key,
    unit_id,
    wanted,
)

suffixes = SUFFIXES


def image_names(uri: str, files: Iterable[storage.File]) -> list[str]:
    """Returns the names of images in `files`, which are below folder `uri`, relative to it."""
    base = len(uri.rstrip("/")) + 1
    return [file.uri[base:] for file in files if file.uri.lower().endswith(suffixes)]


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Splits the sorted names of the images. The texts beside them are looked up in `read`."""
    names = image_names(file.uri, storage.walk(file.uri))
    start = 0
    for index, cut in enumerate(cuts(names, config.unit_size)):
        if cut:
            yield from _unit(file, names, start, index)
            start = index
    yield from _unit(file, names, start, len(names))


def _unit(file: SourceFile, names: list[str], start: int, stop: int) -> Iterator[Unit]:
    chosen = tuple(name for name in names[start:stop] if wanted(file, _source(file, name)))
    if chosen:
        every = file._replace(only=None)  # of these names
        yield Unit(unit_id(file, names[start]), every, start, stop, chosen, len(chosen))


def _source(file: SourceFile, name: str) -> str:
    """Returns the image's path, as valid Unicode where the name on disk is not."""
    uri = storage.join(file.uri, name)
    return uri.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the unit's images. One that no longer exists or cannot be read is a reject."""
    load = partial(_load, unit, config)
    yield from (
        ordered_map(load, unit.names) if storage.is_remote(unit.file.uri) else map(load, unit.names)
    )


def _load(unit: Unit, config: SourceConfig, name: str) -> Loaded | Reject:
    uri = storage.join(unit.file.uri, name)
    key = safe_key(os.path.splitext(name)[0])
    if uri != (source := _source(unit.file, name)):
        return Reject(key, source, "source", "unreadable_image", "its name is not UTF-8")
    try:
        size = storage.size(uri)
        if size > config.max_image_bytes:
            return Reject(key, uri, "source", "image_file_too_large", f"{size} bytes")
        data = storage.read(Bytes(uri, 0, size))
    except (OSError, EOFError) as error:
        return Reject(key, uri, "source", "unreadable_image", str(error)[:200])
    record = Record(key, uri, unit.id, Bytes(uri, 0, size), "", alt_text=_text(uri))
    return Loaded(record, data)


def _text(uri: str) -> str | None:
    path = os.path.splitext(uri)[0] + ".txt"
    try:
        with storage.open_read(path) as file:
            return clean_text(file.read(1 << 20).decode("utf-8", "replace"))
    except OSError:
        return None
