"""TIFF: the first page without its metadata, and what its tags say."""

from __future__ import annotations

import struct
from typing import NamedTuple

ORIENTATION, NEW_SUBFILE_TYPE, PHOTOMETRIC, BITS = 274, 254, 262, 258
_XMP, _DNG_VERSION = 700, 50706
_PIXELS = frozenset({
    256, 257, BITS, 259, PHOTOMETRIC, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323,
    324, 325, 332, 334, 338, 339, 347, *range(512, 522), 529, 530, 531, 532,
})  # fmt: skip
"""Tags that say where the pixels are and how they are encoded (TIFF 6.0 and its supplements)."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
"""Bytes of a value by field type; values of others are not looked at."""
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""By field type, how an integer is packed."""
_MOST = 1 << 16
"""Entries of a page that are read; real ones have a few dozen."""
_LOOKED_AT = {NEW_SUBFILE_TYPE, ORIENTATION, _XMP, _DNG_VERSION}


class Page(NamedTuple):
    """The first page: the file's bytes with this page only, without metadata; its orientation, as
    EXIF; its XMP; whether it is a small version of an image elsewhere; whether there is more."""

    bare: bytes
    exif: bytes
    xmp: bytes
    is_preview: bool
    has_more: bool


def is_tiff(data: bytes) -> bool:
    """Returns whether `data` begin as a TIFF or BigTIFF does."""
    return data[:2] in (b"II", b"MM") and sorted(data[2:4]) in ([0, 42], [0, 43])


def first_page(data: bytes) -> Page:
    """Returns the first page of the TIFF in `data`. Raises `ValueError` if there is none."""
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    link = struct.Struct(order + ("Q" if big else "I"))
    number = struct.Struct(order + ("Q" if big else "H"))
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    try:
        start = link.unpack_from(data, 8 if big else 4)[0]
        count = number.unpack_from(data, start)[0]
    except struct.error:
        raise ValueError("a TIFF without a page") from None
    first = start + number.size
    present = min(count, _MOST, (len(data) - first) // entry.size)
    values: dict[int, tuple[int, int, bytes]] = {}
    kept = b""
    for at in range(first, first + present * entry.size, entry.size):
        tag, kind, length, value = entry.unpack_from(data, at)
        if tag in _PIXELS:
            kept += data[at : at + entry.size]
        if tag in _LOOKED_AT and (size := _SIZES.get(kind, 0) * length):
            where = 0 if size <= len(value) else link.unpack(value)[0]
            content = (data if where else value)[where : where + size]
            values.setdefault(tag, (kind, length, content))
    last = first + present * entry.size
    following = data[last : last + link.size]
    # the entries left out leave a gap, so that all offsets stay right
    page = number.pack(len(kept) // entry.size) + kept + bytes(len(following))
    bare = data[:start] + page + data[start + len(page) :]
    kind, _, content = values.get(NEW_SUBFILE_TYPE, (0, 0, b""))
    reduced = kind in _INTEGERS and struct.unpack_from(order + _INTEGERS[kind], content)[0] & 1
    return Page(
        bare,
        _as_exif(order, *values[ORIENTATION]) if ORIENTATION in values else b"",
        values.get(_XMP, (0, 0, b""))[2],
        bool(reduced) or _DNG_VERSION in values,
        present == count and any(following),
    )


def _as_exif(order: str, kind: int, length: int, content: bytes) -> bytes:
    """Returns EXIF with the orientation alone."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1)
    where = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack(order + "I", 26)
    entry = struct.pack(order + "HHI", ORIENTATION, kind, length) + where
    return head + entry + bytes(4) + (content if len(content) > 4 else b"")
