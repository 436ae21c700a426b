"""Finished samples by reference: sorted, repeated keys renamed, read ahead."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from finehard.dataset.packed import Finished, unpack
from finehard.errors import error_line
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes


class Pointer(NamedTuple):
    """The location of a finished sample or reject, as it is shuffled. `order` is the source, which
    gives samples with the same key a fixed order."""

    key: str
    order: str
    where: Bytes


def in_order(pointers: Iterable[Pointer]) -> Iterator[tuple[str, bool, Finished, bytes]]:
    """Yields (key, whether it is repeated, finished item, image bytes), sorted by key.

    A repeated key becomes "key~2", "key~3"; a reject has no bytes. Raises `SampleChangedError`
    if bytes have changed or are gone.
    """
    previous, count = None, 0
    ordered = sorted(set(pointers))
    remote = bool(ordered) and storage.is_remote(ordered[0].where.uri)
    fetched = ordered_map(_fetch, ordered) if remote else map(_fetch, ordered)
    for pointer, (finished, data) in zip(ordered, fetched, strict=True):
        count = count + 1 if pointer.key == previous else 1
        previous = pointer.key
        yield f"{pointer.key}~{count}" if count > 1 else pointer.key, count > 1, finished, data


class SampleChangedError(OSError):
    """What is written of a sample, in `side_file`, or its image is not what it was."""

    def __init__(self, message: str, side_file: str = "") -> None:
        super().__init__(message)
        self.side_file = side_file


def finished_at(where: Bytes) -> Finished:
    """Returns the finished sample or reject that is packed at `where`. Raises
    `SampleChangedError` if it is damaged or gone."""
    try:
        return unpack(storage.read(where))
    except (FileNotFoundError, EOFError, ValueError, zlib.error, struct.error) as error:
        line = f"{where.uri} is damaged or gone ({error_line(error, 100)}): run it again"
        raise SampleChangedError(line, where.uri) from None


def _fetch(pointer: Pointer) -> tuple[Finished, bytes]:
    side_file = pointer.where.uri
    finished = finished_at(pointer.where)
    item = finished.item
    if "reject" in item:
        return finished, b""
    image = item["sample"]["image"]
    changed = f"{image['source_uri']} changed while the build ran: run it again"
    try:
        data = storage.read(Bytes(*item["image"]))
    except (FileNotFoundError, EOFError):
        raise SampleChangedError(changed, side_file) from None
    if hashlib.sha256(data).hexdigest() != image["sha256"]:
        raise SampleChangedError(changed, side_file)
    return finished, data
