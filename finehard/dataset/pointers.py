"""Finished samples by reference: sorted, repeated keys renamed, read ahead."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple, TypeVar

from finehard.dataset.packed import Finished, unpack
from finehard.errors import error_line
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.io.ranges import read_ranges
from finehard.records import Bytes

T = TypeVar("T")

_AT_ONCE = 16 << 20
"""Bytes of packed samples, and of images, that are read at once; as many are read ahead."""
_SAMPLES = 256
"""Images that are read at once, at most: their annotations are unpacked by then."""


class Pointer(NamedTuple):
    """The location of a finished sample or reject, as it is shuffled. `order` is the source, which
    gives samples with the same key a fixed order."""

    key: str
    order: str
    where: Bytes

    def packed(self) -> bytes:
        """Returns it as one value, which takes a fraction of the memory of its parts: a runner may
        hold those of all samples."""
        return pickle.dumps((self.key, self.order, *self.where), pickle.HIGHEST_PROTOCOL)


def pointer_of(packed: bytes) -> Pointer:
    """Returns the pointer that was `packed`."""
    key, order, *where = pickle.loads(packed)
    return Pointer(key, order, Bytes(*where))


def in_order(pointers: Iterable[Pointer]) -> Iterator[tuple[str, bool, Finished, bytes]]:
    """Yields (key, whether it is repeated, finished item, image bytes), sorted by key.

    A repeated key becomes "key~2", "key~3"; a reject has no bytes. From a store several are read
    ahead, and what is near together at once. Raises `SampleChangedError` if bytes have changed or
    are gone.
    """
    previous, count = None, 0
    ordered = sorted(set(pointers))
    for pointer, (finished, data) in zip(ordered, _read(ordered), strict=True):
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
        return _unpacked(storage.read(where), where)
    except (FileNotFoundError, EOFError) as error:
        raise _damaged(where, error) from None


def _unpacked(data: bytes, where: Bytes) -> Finished:
    try:
        return unpack(data)
    except (ValueError, zlib.error, struct.error) as error:
        raise _damaged(where, error) from None


def _damaged(where: Bytes, error: Exception) -> SampleChangedError:
    line = f"{where.uri} is damaged or gone ({error_line(error, 100)}): run it again"
    return SampleChangedError(line, where.uri)


def _read(ordered: list[Pointer]) -> Iterator[tuple[Finished, bytes]]:
    """Yields what each of `ordered` points to: from a disk one by one, where stores are involved in
    batches, of which memory holds three."""
    if not any(
        map(storage.is_remote, chain.from_iterable((p.where.uri, p.order) for p in ordered))
    ):
        yield from map(_fetch, ordered)
        return
    by_size = _batches(((pointer, pointer.where.length) for pointer in ordered), len(ordered))
    packed = chain.from_iterable(ordered_map(_packed, by_size, 1))
    unpacked = ((pointer, _unpacked(data, pointer.where)) for pointer, data in packed)
    sized = ((each, sum(image.length for image in _image(each[1]))) for each in unpacked)
    yield from chain.from_iterable(ordered_map(_with_images, _batches(sized, _SAMPLES), 1))


def _fetch(pointer: Pointer) -> tuple[Finished, bytes]:
    finished = finished_at(pointer.where)
    try:
        data = b"".join(map(storage.read, _image(finished)))
    except (FileNotFoundError, EOFError):
        raise _changed(pointer, finished) from None
    return _checked(pointer, finished, data)


def _batches(sized: Iterable[tuple[T, int]], most: int) -> Iterator[list[T]]:
    """Yields what has a size in bytes in lists of about `_AT_ONCE` bytes, and at most `most`."""
    batch: list[T] = []
    total = 0
    for item, size in sized:
        batch.append(item)
        total += size
        if total >= _AT_ONCE or len(batch) == most:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _packed(pointers: list[Pointer]) -> list[tuple[Pointer, bytes]]:
    try:
        return list(zip(pointers, read_ranges([p.where for p in pointers]), strict=True))
    except (FileNotFoundError, EOFError):
        for pointer in pointers:
            finished_at(pointer.where)  # raises for the one that is gone
        raise


def _with_images(batch: list[tuple[Pointer, Finished]]) -> list[tuple[Finished, bytes]]:
    try:
        images = iter(read_ranges([image for _, f in batch for image in _image(f)]))
    except (FileNotFoundError, EOFError):
        return [_fetch(pointer) for pointer, _ in batch]  # raises for the one that is gone
    return [_checked(p, f, next(images) if _image(f) else b"") for p, f in batch]


def _image(finished: Finished) -> list[Bytes]:
    """Returns where the image of a sample is; of a reject nothing."""
    return [] if "reject" in finished.item else [Bytes(*finished.item["image"])]


def _checked(pointer: Pointer, finished: Finished, data: bytes) -> tuple[Finished, bytes]:
    """Returns the sample with the bytes of its image, if they are those that it was made from."""
    if _image(finished):
        sha256 = finished.item["sample"]["image"]["sha256"]
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _changed(pointer, finished)
    return finished, data


def _changed(pointer: Pointer, finished: Finished) -> SampleChangedError:
    source = finished.item["sample"]["image"]["source_uri"]
    line = f"{source} changed while the build ran: run it again"
    return SampleChangedError(line, pointer.where.uri)
