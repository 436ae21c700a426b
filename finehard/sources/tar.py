"""Reads tar headers from hostile bytes: strictly, in bounded memory, in linear time.

The standard library's tarfile takes as much memory as a header asks for, recurses along chained
headers, and ends at the first damaged one. Here a damaged header costs the member it is of:
reading goes on at the next valid header. Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax: `path`
and `size` only), GNU (long names, base-256 numbers; sparse files are told apart, not read), v7.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
_MAX_EXTENSION = 1 << 20
"""Bytes of a pax or long-name header that are read; real ones have some hundred."""
_MAX_NAME = 4096
_SCAN = 1 << 20
_MAGIC_AT = 257
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


class Member(NamedTuple):
    """A member whose bytes all lie in the file.

    `offset` is of its first header, `offset_data` and `size` are of its data, in bytes. `regular`
    is False for links, devices and sparse files.
    """

    name: str
    offset: int
    offset_data: int
    size: int
    regular: bool


class Damage(NamedTuple):
    """A stretch from byte `offset` that cannot be read. `name`: the member's, where known."""

    reason: str
    offset: int
    detail: str
    name: str = ""


class _Invalid(Exception):
    """This block is no tar header."""


def members(file: BinaryIO, start: int, stop: int) -> Iterator[Member | Damage]:
    """The members, folders left out, and damaged stretches that begin in bytes [start, stop).

    `start` must be where a header is. Raises `OSError` when the file cannot be read.
    """
    size = file.seek(0, io.SEEK_END) or file.tell()
    if start == 0 and size == 0:
        yield Damage("truncated_archive", 0, "the file is empty")
        return
    offset = first = start
    extended: dict[str, str] = {}
    while offset < size:
        if first >= stop:
            return
        block = _at(file, offset, BLOCK)
        if len(block) < BLOCK:
            break
        if not block.strip(b"\0"):
            following = _after_zeros(file, offset, size)
            if following is None:
                return  # the end, as it should be
            if following > offset + BLOCK:  # archives set one after the other
                offset = first = following
                continue
            yield Damage("unreadable_archive", offset, "a header of zeros")
            offset = first = _next_header(file, offset + BLOCK, size)
            continue
        try:
            name, kind, length = _header(block)
        except _Invalid as error:
            packed = next((v for k, v in _COMPRESSED.items() if block.startswith(k)), None)
            if offset == 0 and packed:
                detail = f"not a tar but {packed}-compressed: unpack it first"
                yield Damage("unreadable_archive", 0, detail)
                return
            yield Damage("unreadable_archive", offset, str(error))
            offset = first = _next_header(file, offset + BLOCK, size)
            extended = {}
            continue
        data = offset + BLOCK
        if kind in b"xXLKg":
            after = data + _padded(length)
            if after > size:
                yield Damage("truncated_archive", offset, "the file ends in a header")
                offset = first = _next_header(file, data, size)
                extended = {}
            elif length > _MAX_EXTENSION:
                yield Damage("unreadable_archive", offset, f"a header of {length} bytes")
                offset = first = after
                extended = {}
            else:
                if kind in b"xX":
                    extended |= _pax(_at(file, data, length))
                elif kind == b"L":
                    extended["path"] = _text(_at(file, data, length))
                offset = after
            continue
        if kind == b"S":  # more of the sparse map lies before the data
            more = block[482]
            while more and data + BLOCK <= size:
                more = _at(file, data, BLOCK)[504]
                data += BLOCK
        name = extended.get("path", name)
        if extended.get("size", "").isdecimal() and len(extended["size"]) < 20:
            length = int(extended["size"])
        regular = kind in (b"0", b"\0", b"7") and len(name) <= _MAX_NAME
        regular = regular and not any(key.startswith("GNU.sparse") for key in extended)
        folder = kind == b"5" or (kind == b"\0" and name.endswith("/"))
        if kind in b"123456" or folder:
            length = 0  # whatever they claim
        if data + length > size:
            detail = f"{name[:100]} has {max(0, size - data)} of {length} bytes"
            yield Damage("truncated_archive", first, detail, name[:_MAX_NAME])
            offset = _next_header(file, min(data, size), size)
        else:
            if not folder:
                yield Member(name[:_MAX_NAME], first, data, length, regular)
            offset = data + _padded(length)
        first = offset
        extended = {}
    else:
        if offset == size and not extended:
            return  # at the end of a member: without an end mark, as some writers leave it
    detail = "the file ends in the middle of a block"
    yield Damage("truncated_archive", min(first, size), detail)


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _header(block: bytes) -> tuple[str, bytes, int]:
    """Name, type and size. Raises `_Invalid`."""
    if not _sum_is_right(block):
        raise _Invalid("a damaged header")
    name = _text(block[:100])
    if block[_MAGIC_AT : _MAGIC_AT + 6] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    length = _number(block[124:136])
    if not 0 <= length < 1 << 62:
        raise _Invalid(f"a size of {length} bytes")
    return name, block[156:157], length


def _sum_is_right(block: bytes) -> bool:
    try:
        told = _number(block[148:156])
    except _Invalid:
        return False
    unsigned = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if told == unsigned:
        return True
    high = sum(byte > 127 for byte in block[:148] + block[156:])
    return told == unsigned - 256 * high  # old writers added signed bytes


def _number(field: bytes) -> int:
    if field[0] in (0x80, 0xFF):  # GNU: base 256
        value = int.from_bytes(field[1:], "big")
        return value - 256 ** (len(field) - 1) if field[0] == 0xFF else value
    digits = field.split(b"\0", 1)[0].strip(b" ")
    try:
        if digits.strip(b"01234567"):
            raise ValueError
        return int(digits or b"0", 8)
    except ValueError:
        raise _Invalid("a damaged number in a header") from None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax(data: bytes) -> dict[str, str]:
    """The records ("LENGTH KEY=VALUE\\n") of a pax header that matter here."""
    found = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 12)
        digits = data[at:space] if space > at else b""
        if not digits.isdigit() or not space - at < int(digits) <= len(data) - at:
            break
        key, equals, value = data[space + 1 : at + int(digits) - 1].partition(b"=")
        if equals and (key in (b"path", b"size") or key.startswith(b"GNU.sparse")):
            found[key.decode("ascii", "replace")] = _text(value)
        at += int(digits)
    return found


def _after_zeros(file: BinaryIO, offset: int, size: int) -> int | None:
    """The first block from `offset` that is not all zeros, or None."""
    while offset < size:
        chunk = _at(file, offset, _SCAN)
        if not chunk:
            return None
        rest = chunk.lstrip(b"\0")
        if rest:
            return offset + (len(chunk) - len(rest)) // BLOCK * BLOCK
        offset += len(chunk)
    return None


def _next_header(file: BinaryIO, offset: int, size: int) -> int:
    """The next block from `offset`, a multiple of 512, that is a valid header; else `size`."""
    while offset < size:
        chunk = _at(file, offset, _SCAN)
        if len(chunk) < BLOCK:
            return size
        place = chunk.find(b"ustar")
        while place >= 0:
            block = place - _MAGIC_AT
            if block >= 0 and block % BLOCK == 0 and block + BLOCK <= len(chunk):
                try:
                    _header(chunk[block : block + BLOCK])
                    return offset + block
                except _Invalid:
                    pass
            place = chunk.find(b"ustar", place + 1)
        offset += _SCAN
    return size
