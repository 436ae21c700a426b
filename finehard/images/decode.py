"""Decodes an image as displayed: upright, RGB, transparency on white."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from finehard.images.config import ImagesConfig
from finehard.images.exif import TRANSPOSE
from finehard.images.header import ImageError, Opened, one_line, open_image
from finehard.images.views import fit


class Decoded(NamedTuple):
    """A decoded image; `sendable` when its file's bytes can go to a model as they are."""

    pixels: Image.Image
    sendable: bool


def decode(data: bytes, config: ImagesConfig) -> Decoded:
    """Returns the image as displayed, RGB, its longest side at most `config.max_side` pixels.

    JPEGs are decoded at a reduced scale where that suffices; EXIF orientation is applied,
    transparency composited on white, the first frame used. Raises `ImageError`.
    """
    opened = open_image(data, config)
    image = opened.image
    plain = image.format == "JPEG" and image.mode in ("RGB", "L")
    upright = opened.orientation == 1 and not opened.damaged
    # a file far larger than its pixels has something else in it, which no server needs
    compact = len(data) <= 3 * image.width * image.height + 65_536
    sendable = plain and upright and compact and max(image.size) <= config.max_side
    draft, longest = None, max(image.size)
    if longest > config.max_side:
        width, height = (side * config.max_side // longest for side in image.size)
        draft = max(1, width), max(1, height)
    return Decoded(_pixels(opened, data, draft, config.max_side), sendable)


def load(data: bytes, limits: ImagesConfig, min_side: int | None = None) -> Image.Image:
    """Returns the image as `decode` does, but at the scale of the file, whatever its `max_side`.

    With `min_side`, JPEGs are decoded at a half, a quarter or an eighth of their scale, whichever
    is the smallest that leaves both sides at least `min_side` pixels. Raises `ImageError`.
    """
    draft = None if min_side is None else (min_side, min_side)
    return _pixels(open_image(data, limits), data, draft, None)


def _pixels(
    opened: Opened, data: bytes, draft: tuple[int, int] | None, max_side: int | None
) -> Image.Image:
    """Decodes; `draft` is the least (width, height), as stored, to which a JPEG is reduced."""
    image = opened.image
    try:
        if draft is not None:
            image.draft("RGB", draft)
        image.load()
        image = _eight_bits(image)
        image = _on_white(image if max_side is None else fit(image, max_side))
    except MemoryError as error:
        raise ImageError("image_too_large", one_line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("truncated_image", one_line(error, data)) from None
    if opened.orientation in TRANSPOSE:
        image = image.transpose(TRANSPOSE[opened.orientation])
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Returns `image` in a mode that can be resized: RGB, RGBA or grey, 8 bits a channel."""
    if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are used
        values = np.asarray(image)
        return Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")
