"""Tells cheaply whether an input is the same as at an earlier run: by files' sizes and times."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from finehard.digest import json_digest
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.sources.listing import list_files
from finehard.sources.source import SourceFile, Unit

State = list[Any]
"""Size and time of a local file, size and version of a remote one; empty if there is none."""


def file_state(uri: str) -> State:
    """Returns the state of a file. Raises `FinehardError` when a store fails."""
    try:
        if storage.is_remote(uri):
            return list(storage.stat(uri))
        found = os.stat(uri)
        return [found.st_size, found.st_mtime_ns]
    except OSError:
        return []


def unit_identity(unit: Unit, state: Callable[[str], State] = file_state) -> str | None:
    """Returns a digest of all that decides the samples of `unit`, by the `state` of its files.

    None where that would mean reading it (rows that name files elsewhere, folders in a store, a
    user's own format), and for rejects fed back.
    """
    file = unit.file
    if file.only is not None:
        return None
    if file.format == "tar":
        uris: Iterable[str] = [file.uri]
    elif file.format == "folder" and not storage.is_remote(file.uri):
        uris = _images(unit)
    else:
        return None
    where = [unit.id, file.format, file.uri, file.name, unit.start, unit.stop, unit.limit]
    return json_digest([where, unit.names, unit.sides, [state(uri) for uri in uris]])


def _images(unit: Unit) -> Iterable[str]:
    """Yields the images of a folder's unit and the texts beside them."""
    for name, side in zip(unit.names, unit.sides, strict=True):
        uri = storage.join(unit.file.uri, name)
        stem = os.path.splitext(uri)[0]
        yield uri
        yield from (f"{stem}.txt",) if side.text else ()
        yield from (f"{stem}.json",) if side.meta else ()


def input_identity(files: Iterable[SourceFile]) -> str | None:
    """As `unit_identity`, for all files of an input; of a store they are asked
    for in parallel."""
    known: list[Any] = []
    uris: list[str] = []
    for file in files:
        if file.only is not None or file.lists:
            return None
        if file.format == "tar":
            uris.append(file.uri)
        elif file.format == "folder" and not storage.is_remote(file.uri):
            uris += [found.uri for found in list_files(file.uri).files]
        else:
            return None
        cut = [(unit.id, unit.start, unit.stop, unit.limit) for unit in file.units or ()]
        known.append([file.format, file.uri, file.name, file.size, file.samples, cut])
    remote = any(map(storage.is_remote, uris))
    states = ordered_map(file_state, uris) if remote else map(file_state, uris)
    return json_digest([known, uris, list(states)])
