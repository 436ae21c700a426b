"""Reads many ranges of files, near ones of a file together."""

from __future__ import annotations

from collections.abc import Sequence

from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes

_GAP = 64 << 10
"""Bytes between two ranges that are read for nothing rather than asking again: some ms of CPU and
of waiting a request."""
_MOST = 8 << 20
"""Bytes that are read at once, where a range itself is not longer."""


def read_ranges(wanted: Sequence[Bytes]) -> list[bytes]:
    """Returns the bytes at each of `wanted`, in their order; from a store, several reads at a time.

    Raises as `storage.read`, whichever of them it is.
    """
    found: list[bytes] = [b""] * len(wanted)
    together = _together(wanted)
    whole = [read for read, _ in together]
    remote = any(storage.is_remote(each.uri) for each in whole)
    read = ordered_map(storage.read, whole) if remote else map(storage.read, whole)
    for (start, numbers), data in zip(together, read, strict=True):
        for number in numbers:
            offset = wanted[number].offset - start.offset
            found[number] = data[offset : offset + wanted[number].length]
    return found


def _together(wanted: Sequence[Bytes]) -> list[tuple[Bytes, list[int]]]:
    """Returns what is read at once, and the numbers of the ranges in it."""
    made: list[tuple[Bytes, list[int]]] = []
    for number in sorted(range(len(wanted)), key=lambda each: wanted[each]):
        uri, offset, length = wanted[number]
        if made:
            last, numbers = made[-1]
            end = max(last.offset + last.length, offset + length)
            near = offset <= last.offset + last.length + _GAP and end - last.offset <= _MOST
            if last.uri == uri and near:
                numbers.append(number)
                made[-1] = (last._replace(length=end - last.offset), numbers)
                continue
        made.append((wanted[number], [number]))
    return made
