"""Finished samples by reference: put in order, equal keys told apart, read ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from finehard.dataset.packed import Finished, unpack
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes


class Pointer(NamedTuple):
    """A finished sample or reject, by reference: what crosses the shuffle. `order` is the source,
    which puts samples of equal key in a fixed order."""

    key: str
    order: str
    where: Bytes


def in_order(pointers: Iterable[Pointer]) -> Iterator[tuple[str, bool, Finished, bytes]]:
    """Key, whether it was met before, finished item and image bytes (of a reject: none), sorted
    by key. Keys are unique: one met again becomes "key~2", "key~3".

    Raises `OSError` when bytes are no longer where they were.
    """
    before, double = None, 1
    ordered = sorted(set(pointers))
    remote = bool(ordered) and storage.is_remote(ordered[0].where.uri)
    fetched = ordered_map(_fetch, ordered) if remote else map(_fetch, ordered)
    for pointer, (finished, data) in zip(ordered, fetched, strict=True):
        double = double + 1 if pointer.key == before else 1
        before = pointer.key
        again = double > 1
        yield (f"{pointer.key}~{double}" if again else pointer.key), again, finished, data


def _fetch(pointer: Pointer) -> tuple[Finished, bytes]:
    finished = unpack(storage.read(pointer.where))
    item = finished.item
    if "reject" in item:
        return finished, b""
    image = item["sample"]["image"]
    changed = f"{image['source_uri']} changed while the build ran: run it again"
    try:
        data = storage.read(Bytes(*item["image"]))
    except (FileNotFoundError, EOFError):
        raise OSError(changed) from None
    if hashlib.sha256(data).hexdigest() != image["sha256"]:
        raise OSError(changed)
    return finished, data
