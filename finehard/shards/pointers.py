"""Finished samples by reference: put in order, equal keys told apart, read ahead."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from finehard import storage
from finehard.records import Bytes
from finehard.shards.packed import Finished, unpack

READERS = 16
"""Samples read at once where a read takes a round trip to an object store."""


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
    for pointer, (finished, data) in zip(ordered, _read_ahead(ordered), strict=True):
        double = double + 1 if pointer.key == before else 1
        before = pointer.key
        again = double > 1
        yield (f"{pointer.key}~{double}" if again else pointer.key), again, finished, data


def _read_ahead(pointers: list[Pointer]) -> Iterator[tuple[Finished, bytes]]:
    """What `pointers` point to, in their order; from an object store, some at a time."""
    if not pointers or not storage.is_remote(pointers[0].where.uri):
        yield from map(_fetch, pointers)
        return
    with ThreadPoolExecutor(READERS) as pool:
        under_way = deque(pool.submit(_fetch, pointer) for pointer in pointers[: 2 * READERS])
        for pointer in pointers[2 * READERS :]:
            yield under_way.popleft().result()
            under_way.append(pool.submit(_fetch, pointer))
        for future in under_way:
            yield future.result()


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
