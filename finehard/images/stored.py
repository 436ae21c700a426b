"""What a shard holds of an image: its bytes as they came, or the picture as a PNG."""

from __future__ import annotations

import io
from typing import NamedTuple

from finehard.images.config import ImagesConfig
from finehard.images.decode import load
from finehard.images.header import MEMBERS, Header, ImageError, open_image

_EFFORT = 3
"""Of compression, 0 to 9. On photographs more effort costs much and saves nothing."""


class Stored(NamedTuple):
    """Bytes for a shard, with their header; whether the file has more frames or pages."""

    data: bytes
    header: Header
    has_more: bool


def stored(data: bytes, config: ImagesConfig) -> Stored:
    """Returns `data` as they are if a shard can hold them: JPEG, PNG, WebP. Images of all other
    formats become a PNG of the picture as displayed, upright, RGB, at full size.

    Raises `ImageError`, also where the PNG has more than `config.max_bytes` bytes.
    """
    opened = open_image(data, config)
    if opened.header.format in MEMBERS:
        return Stored(data, opened.header, opened.has_more)
    picture = load(data, config)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=_EFFORT)
    png = out.getvalue()
    if len(png) > config.max_bytes:
        raise ImageError("image_file_too_large", f"{len(png)} bytes as PNG")
    return Stored(png, Header("png", *picture.size), opened.has_more)
