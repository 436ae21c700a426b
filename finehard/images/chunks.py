"""The parts that image files are made of: JPEG segments, PNG chunks, WebP chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
_SEGMENTS = {*range(0xC0, 0xD0), *range(0xDB, 0xFF)} - {0xDA}
"""JPEG markers followed by a length, without the one that the pixels follow."""
_MARKER = re.compile(rb"\xff+")


class Part(NamedTuple):
    """A part of a file: its kind, its bytes [start, end), and where its content begins and ends."""

    kind: bytes
    start: int
    end: int
    first: int
    last: int


def parts(data: bytes) -> Iterator[Part]:
    """Yields the parts of a JPEG up to its pixels, or of a whole PNG or WebP, by their lengths.

    `kind` is a JPEG's marker (one byte) or a chunk's name (four). Checksums are not verified. Ends
    where the data are damaged or of another format.
    """
    if data.startswith(JPEG):
        yield from _jpeg(data)
    elif data.startswith(PNG):
        yield from _png(data)
    elif is_webp(data):
        yield from _webp(data)


def is_webp(data: bytes) -> bool:
    """Returns whether `data` begin as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _jpeg(data: bytes) -> Iterator[Part]:
    at = 2
    while marker := _MARKER.match(data, at):
        first = marker.end() + 3
        if first > len(data) or data[marker.end()] not in _SEGMENTS:
            return
        end = first - 2 + max(2, int.from_bytes(data[first - 2 : first], "big"))
        if end > len(data):
            return
        yield Part(data[marker.end() : marker.end() + 1], at, end, first, end)
        at = end


def _png(data: bytes) -> Iterator[Part]:
    at = len(PNG)
    while at + 12 <= len(data):  # length, name, content, checksum
        last = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if last + 4 > len(data):
            return
        yield Part(data[at + 4 : at + 8], at, last + 4, at + 8, last)
        at = last + 4


def _webp(data: bytes) -> Iterator[Part]:
    at = 12
    while at + 8 <= len(data):  # name, length, content up to an even length
        last = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if last > len(data):
            return
        end = min(last + last % 2, len(data))
        yield Part(data[at : at + 4], at, end, at + 8, last)
        at = end
