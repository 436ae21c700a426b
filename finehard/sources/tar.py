"""Reads tar headers from untrusted bytes: strictly, in bounded memory, in linear time.

The standard library's tarfile allocates as much memory as a header asks for, recurses along chained
headers, and stops at the first damaged one. Here a damaged header costs its own member only:
reading continues at the next valid header. Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax: `path`
and `size` only), GNU (long names, base-256 numbers; sparse files are recognised but not read), v7.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
_MAX_EXTENSION = 1 << 20
"""Largest pax or long-name header that is read, in bytes; real ones have a few hundred."""
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
    """A member that is complete in the file.

    `offset` is that of its first header; `offset_data` and `size` are those of its data, in bytes.
    `regular` is False for links, devices and sparse files.
    """

    name: str
    offset: int
    offset_data: int
    size: int
    regular: bool


class Damage(NamedTuple):
    """An unreadable stretch from byte `offset`. `name`: that of the member, if known."""

    reason: str
    offset: int
    detail: str
    name: str = ""


class _Invalid(Exception):
    """The block is not a tar header."""


def members(file: BinaryIO, start: int, stop: int) -> Iterator[Member | Damage]:
    """Yields the members, except folders, and the damage that begin in bytes [start, stop).

    `start` must be the offset of a header. Raises `OSError` if the file cannot be read.
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
                return  # the regular end
            if following > offset + BLOCK:  # concatenated archives
                offset = first = following
                continue
            yield Damage("unreadable_archive", offset, "a header of zeros")
            offset = first = _next_header(file, offset + BLOCK, size)
            continue
        try:
            name, kind, length = _header(block)
        except _Invalid as error:
            compression = next((v for k, v in _COMPRESSED.items() if block.startswith(k)), None)
            if offset == 0 and compression:
                detail = f"not a tar but {compression}-compressed: unpack it first"
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
        if kind == b"S":  # more of the sparse map precedes the data
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
            length = 0  # whatever the header says
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
            return  # no end mark: some writers leave it out
    detail = "the file ends in the middle of a block"
    yield Damage("truncated_archive", min(first, size), detail)


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _header(block: bytes) -> tuple[str, bytes, int]:
    """Returns name, type and size. Raises `_Invalid`."""
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
        stored = _number(block[148:156])
    except _Invalid:
        return False
    unsigned = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if stored == unsigned:
        return True
    high = sum(byte > 127 for byte in block[:148] + block[156:])
    return stored == unsigned - 256 * high  # old writers added signed bytes


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
    """Returns the relevant records ("LENGTH KEY=VALUE\\n") of a pax header."""
    records = {}
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 12)
        digits = data[start:space] if space > start else b""
        if not digits.isdigit() or not space - start < int(digits) <= len(data) - start:
            break
        key, equals, value = data[space + 1 : start + int(digits) - 1].partition(b"=")
        if equals and (key in (b"path", b"size") or key.startswith(b"GNU.sparse")):
            records[key.decode("ascii", "replace")] = _text(value)
        start += int(digits)
    return records


def _after_zeros(file: BinaryIO, offset: int, size: int) -> int | None:
    """Returns the first block from `offset` that is not all zeros, or None."""
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
    """Returns the next valid header from `offset`, a multiple of 512; else `size`."""
    while offset < size:
        chunk = _at(file, offset, _SCAN)
        if len(chunk) < BLOCK:
            return size
        magic = chunk.find(b"ustar")
        while magic >= 0:
            block = magic - _MAGIC_AT
            if block >= 0 and block % BLOCK == 0 and block + BLOCK <= len(chunk):
                try:
                    _header(chunk[block : block + BLOCK])
                    return offset + block
                except _Invalid:
                    pass
            magic = chunk.find(b"ustar", magic + 1)
        offset += _SCAN
    return size
