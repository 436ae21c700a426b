"""A finished sample or reject as bytes, with the tar members of a sample."""

from __future__ import annotations

import struct
import tarfile
import zlib
from typing import Any, NamedTuple

import orjson

_LENGTHS = struct.Struct(">II")
_BLOCK = 512


class Finished(NamedTuple):
    """A finished sample or reject, and for a sample the tar bytes before and after its image."""

    item: dict[str, Any]
    head: bytes
    tail: bytes


def pack(item: dict[str, Any]) -> bytes:
    """Returns a finished sample or reject as bytes for the side file of its `Pointer`.

    A sample's tar headers and JSON member are made here, while requests are in flight, so that a
    shard is later assembled by copying.
    """
    head, tail = b"", b""
    if "sample" in item:
        item = dict(item)
        sample = item.pop("sample")  # its JSON member has it
        head, tail = around_image(sample["key"], item["image"][2], sample)
    meta = orjson.dumps(item)
    return zlib.compress(_LENGTHS.pack(len(meta), len(head)) + meta + head + tail, 1)


def unpack(data: bytes) -> Finished:
    """Returns what was packed."""
    data = zlib.decompress(data)
    meta, head = _LENGTHS.unpack_from(data)
    start = _LENGTHS.size + meta
    item = orjson.loads(data[_LENGTHS.size : start])
    before, after = data[start : start + head], data[start + head :]
    if before:
        item["sample"] = orjson.loads(_json(before, after, item["image"][2]))
    return Finished(item, before, after)


def _json(head: bytes, tail: bytes, image_size: int) -> bytes:
    block, start = (head, 0) if len(head) > _BLOCK else (tail, _padded(image_size) - image_size)
    return block[start + _BLOCK :][: _size(block, start)]


def around_image(key: str, image_size: int, sample: dict[str, Any]) -> tuple[bytes, bytes]:
    """Returns the bytes before and after the image's in a sample's two tar members.

    Members are in the order of their suffixes, as webdataset writes them.
    """
    text = orjson.dumps({**sample, "key": key}, option=orjson.OPT_INDENT_2)
    json_member = _header(f"{key}.json", len(text)) + text + bytes(_padded(len(text)) - len(text))
    image_header = _header(f"{key}.{sample['image']['format']}", image_size)
    padding = bytes(_padded(image_size) - image_size)
    if _json_first(sample):
        return json_member + image_header, padding
    return image_header, padding + json_member


def _header(name: str, size: int) -> bytes:
    """Returns a member's tar header, in the bytes of webdataset's TarWriter."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o444
    info.uname = info.gname = "finehard"
    return info.tobuf()


def json_place(finished: Finished, image_size: int) -> tuple[int, int]:
    """Returns the JSON's offset from the start of the sample, and its size, in bytes."""
    if _json_first(finished.item["sample"]):
        return _BLOCK, _size(finished.head, 0)
    padding = _padded(image_size) - image_size
    at = len(finished.head) + image_size + padding + _BLOCK
    return at, _size(finished.tail, padding)


def _json_first(sample: dict[str, Any]) -> bool:
    """Returns whether the JSON is before the image: members are sorted by suffix."""
    return bool(sample["image"]["format"] > "json")


def _size(block: bytes, header: int) -> int:
    return int(block[header + 124 : header + 135], 8)  # the size field, octal (POSIX ustar)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
