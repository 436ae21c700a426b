"""TIFF: the first page without its metadata, and what its tags say."""

from __future__ import annotations

import struct
from typing import NamedTuple

from finehard.images.chunks import parts

ORIENTATION, PHOTOMETRIC, BITS = 274, 262, 258
_NEW_SUBFILE_TYPE, _COMPRESSION, _XMP, _DNG_VERSION = 254, 259, 700, 50706
_PIXELS = frozenset({
    256, 257, BITS, _COMPRESSION, PHOTOMETRIC, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320,
    322, 323, 324, 325, 332, 334, 338, 339, 347, *range(512, 522), 529, 530, 531, 532,
})  # fmt: skip
"""Tags that say where the pixels are and how they are encoded (TIFF 6.0 and its supplements)."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
"""Bytes of a value by field type; values of others are not looked at."""
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""By field type, how an integer is packed."""
_MOST = 1 << 16
"""Entries of a page that are read; real ones have a few dozen."""
_WIDTH, _HEIGHT, _ROWS, _PLANES, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 284, 322, 323
_OFFSETS, _LENGTHS = (273, 324), (279, 325)
"""Of strips, of tiles."""
_LOOKED_AT = {
    _NEW_SUBFILE_TYPE, _COMPRESSION, ORIENTATION, _XMP, _DNG_VERSION, _WIDTH, _HEIGHT, _ROWS,
    _PLANES, _TILE_WIDTH, _TILE_HEIGHT, *_OFFSETS, *_LENGTHS,
}  # fmt: skip
_FAX, _OLD_JPEG, _JPEG = (2, 3, 4, 32771), 6, 7
"""Compressions of CCITT and JPEG: of damaged ones libtiff shows memory that nobody wrote."""
_Value = tuple[int, int, bytes]
"""Of a tag: type, length, content."""


class Page(NamedTuple):
    """The first page: the file's bytes with this page only, without metadata; its orientation, as
    EXIF; its XMP; why it cannot be used, or nothing; whether there is more."""

    bare: bytes
    exif: bytes
    xmp: bytes
    problem: str
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
    values: dict[int, _Value] = {}
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
    problem = _problem(data, order, values)
    return Page(
        bare,
        _as_exif(order, *values[ORIENTATION]) if ORIENTATION in values else b"",
        values.get(_XMP, (0, 0, b""))[2],
        problem,
        present == count and any(following),
    )


def _problem(data: bytes, order: str, values: dict[int, _Value]) -> str:
    """Returns why the page cannot be used, or nothing."""
    reduced = _integer(order, values.get(_NEW_SUBFILE_TYPE)) & 1
    if reduced or _DNG_VERSION in values:
        return "a camera's raw file or a preview: develop it first"
    compression = _integer(order, values.get(_COMPRESSION))
    if not _covers(order, values):
        return "a TIFF that does not have all strips or tiles of its page"
    if compression in _FAX:
        return "a fax (CCITT), in which damage cannot be noticed: convert it first"
    if compression == _OLD_JPEG or (compression == _JPEG and not _is_whole(data, order, values)):
        return "a JPEG in a TIFF of another size, or of the old kind: convert it first"
    return ""


def _covers(order: str, values: dict[int, _Value]) -> bool:
    """Returns whether there are as many strips or tiles as the page needs: Pillow shows black
    where an uncompressed one is missing."""
    tags = (_WIDTH, _HEIGHT, _ROWS, _TILE_WIDTH, _TILE_HEIGHT)
    width, height, rows, across, down = (_integer(order, values.get(tag)) for tag in tags)
    if _OFFSETS[1] in values:
        needed = -(-width // max(1, across)) * -(-height // max(1, down))
    else:
        needed = -(-height // (rows or max(1, height)))
    return max(len(_integers(order, values.get(tag))) for tag in _OFFSETS) >= needed


def _is_whole(data: bytes, order: str, values: dict[int, _Value]) -> bool:
    """Returns whether each JPEG has the pixels that its strip or tile should have."""
    tags = (_WIDTH, _HEIGHT, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _PLANES)
    width, height, rows, across, down, planes = (_integer(order, values.get(t)) for t in tags)
    tiled = _OFFSETS[1] in values
    if tiled:
        width, rows = across, down
    rows = rows or height
    offsets, lengths = (_integers(order, values.get(pair[tiled])) for pair in (_OFFSETS, _LENGTHS))
    last = rows if tiled else height - rows * (len(offsets) - 1)
    if planes == 2 or len(offsets) != len(lengths) or not offsets:
        return False
    for number, (offset, length) in enumerate(zip(offsets, lengths, strict=True), 1):
        wanted = (min(rows, last) if number == len(offsets) else rows, width)
        frame = (p for p in parts(data[offset : offset + length]) if p.kind in _FRAMES)
        found = next(frame, None)
        if found is None:
            return False
        at = offset + found.first + 1
        if struct.unpack_from(">HH", data[at : at + 4].ljust(4, b"\0")) != wanted:
            return False
    return True


_FRAMES = {bytes([marker]) for marker in (*range(0xC0, 0xC4), *range(0xC5, 0xC8), 0xC9, 0xCA)}
"""JPEG markers of frames: precision, height, width."""


def _integer(order: str, value: _Value | None) -> int:
    """Returns the first integer of a value, 0 where there is none."""
    return next(iter(_integers(order, value, 1)), 0)


def _integers(order: str, value: _Value | None, most: int | None = None) -> tuple[int, ...]:
    """Returns the first `most` integers of a value, as far as they are there."""
    kind, _, content = value or (0, 0, b"")
    if kind not in _INTEGERS:
        return ()
    number = len(content) // _SIZES[kind]
    number = number if most is None else min(number, most)
    return struct.unpack_from(f"{order}{number}{_INTEGERS[kind]}", content)


def _as_exif(order: str, kind: int, length: int, content: bytes) -> bytes:
    """Returns EXIF with the orientation alone."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1)
    where = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack(order + "I", 26)
    entry = struct.pack(order + "HHI", ORIENTATION, kind, length) + where
    return head + entry + bytes(4) + (content if len(content) > 4 else b"")
