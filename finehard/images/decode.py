"""Decodes an image as displayed: upright, RGB, transparency on white, no larger than asked."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

from finehard.images.config import ImagesConfig
from finehard.images.header import TURNED, ImageError, one_line, open_image
from finehard.images.views import fit


class Decoded(NamedTuple):
    """A decoded image; `sendable` when its file's bytes can go to a model as they are."""

    pixels: Image.Image
    sendable: bool


def decode(data: bytes, config: ImagesConfig) -> Decoded:
    """The image as displayed, RGB, its longest side at most `config.max_side` pixels.

    JPEGs are decoded at a reduced scale where that suffices; EXIF rotation is applied,
    transparency laid on white, the first frame taken. Raises `ImageError`.
    """
    image, _, orientation = open_image(data, config)
    plain = image.format == "JPEG" and image.mode in ("RGB", "L") and orientation == 1
    # a file far larger than its pixels has something else in it, which no server need see
    compact = len(data) <= 3 * image.width * image.height + 65_536
    sendable = plain and compact and max(image.size) <= config.max_side
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            longest = max(image.size)
            if longest > config.max_side:
                width, height = (side * config.max_side // longest for side in image.size)
                image.draft("RGB", (max(1, width), max(1, height)))
            image.load()
            image = _on_white(fit(_eight_bits(image), config.max_side))
    except MemoryError as error:
        raise ImageError("image_too_large", one_line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("truncated_image", one_line(error, data)) from None
    if orientation in TURNED:
        image = image.transpose(TURNED[orientation])
    return Decoded(image, sendable)


def _eight_bits(image: Image.Image) -> Image.Image:
    """`image` in a mode that can be resized: RGB, RGBA or grey, 8 bits a channel."""
    if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are kept
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
