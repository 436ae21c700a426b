"""A finished sample or reject as bytes, a sample's tar members made ahead."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, NamedTuple

import orjson

_LENGTHS = struct.Struct(">II")
_BLOCK = 512


class Finished(NamedTuple):
    """A finished sample or reject, and of a sample what stands around its image in a tar."""

    item: dict[str, Any]
    head: bytes
    tail: bytes


def pack(item: dict[str, Any]) -> bytes:
    """A finished sample or reject as bytes for the side file that `Pointer.where` points into.

    A sample's tar headers and JSON member are made here, while model servers are at work, so that
    at the end a shard is put together by copying.
    """
    head, tail = b"", b""
    if "sample" in item:
        sample = item["sample"]
        head, tail = around_image(sample["key"], bytes(item["image"][2]), sample)
    meta = orjson.dumps(item)
    return zlib.compress(_LENGTHS.pack(len(meta), len(head)) + meta + head + tail, 1)


def unpack(data: bytes) -> Finished:
    """What `pack` was given, with what it made of it."""
    data = zlib.decompress(data)
    meta, head = _LENGTHS.unpack_from(data)
    start = _LENGTHS.size + meta
    item = orjson.loads(data[_LENGTHS.size : start])
    return Finished(item, data[start : start + head], data[start + head :])


def around_image(key: str, image: bytes, sample: dict[str, Any]) -> tuple[bytes, bytes]:
    """A sample's two tar members as they stand in a shard, headers included, without the image's
    bytes: what stands before these and after."""
    from webdataset import TarWriter  # imports torch where that is installed: seconds

    text = orjson.dumps({**sample, "key": key}, option=orjson.OPT_INDENT_2)
    out = io.BytesIO()
    tar = TarWriter(out, user="finehard", group="finehard", mtime=0, encoder=False, compress=False)
    tar.write({"__key__": key, sample["image"]["format"]: image, "json": text})
    length = tar.tarstream.offset
    tar.close()
    block = out.getvalue()[:length]  # without the end mark, which the shard has
    start = _BLOCK
    if _json_first(sample):
        start += _padded(len(text)) + _BLOCK
    return block[:start], block[start + len(image) :]


def json_place(finished: Finished, image_size: int) -> tuple[int, int]:
    """Offset of the JSON's bytes from the sample's start, and their number."""
    if _json_first(finished.item["sample"]):
        return _BLOCK, _size(finished.head, 0)
    padding = _padded(image_size) - image_size
    at = len(finished.head) + image_size + padding + _BLOCK
    return at, _size(finished.tail, padding)


def _json_first(sample: dict[str, Any]) -> bool:
    """Whether the JSON stands before the image: members stand in the order of their suffixes."""
    return bool(sample["image"]["format"] > "json")


def _size(block: bytes, header: int) -> int:
    return int(block[header + 124 : header + 135], 8)  # the size field, octal (POSIX ustar)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
