"""Decodes an image as displayed: upright, RGB, transparency on white."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from finehard.images.bare import bare
from finehard.images.config import ImagesConfig
from finehard.images.header import ImageError, Opened, one_line, open_file, open_image
from finehard.images.orientation import TRANSPOSE
from finehard.images.tiff import BITS, PHOTOMETRIC
from finehard.images.views import fit

_STRIP = 1 << 20
"""Pixels that are composited at a time."""
_MOST_COLOURS = 256
"""Of a palette."""


class Decoded(NamedTuple):
    """A decoded image; `sendable` when its file's bytes can go to a model as they are."""

    pixels: Image.Image
    sendable: bool


def decode(data: bytes, config: ImagesConfig) -> Decoded:
    """Returns the image as displayed, RGB, its longest side at most `config.max_side` pixels.

    JPEGs are decoded at a reduced scale where that suffices; EXIF orientation is applied,
    transparency composited on white, the first frame or page used. Raises `ImageError`.
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
    try:
        image = _eight_bits(_loaded(opened, data, draft), data)
        image = _on_white(image)
        if max_side is not None:
            image = fit(image, max_side)
        if opened.orientation in TRANSPOSE:
            image = image.transpose(TRANSPOSE[opened.orientation])
    except MemoryError as error:
        raise ImageError("image_too_large", one_line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("truncated_image", one_line(error, data)) from None
    return image


def _loaded(opened: Opened, data: bytes, draft: tuple[int, int] | None) -> Image.Image:
    image = opened.image
    if draft is not None:
        image.draft("RGB", draft)
    try:
        image.load()
    except Exception:
        if image.format != "PNG" or opened.damaged:
            raise
        # of metadata, Pillow reads what follows the pixels when it decodes them
        image = open_file(bare(data))
        image.load()
    return image


def _eight_bits(image: Image.Image, data: bytes) -> Image.Image:
    """Returns `image` in a mode that can be resized: RGB, RGBA or grey, 8 bits a channel."""
    key = image.info.get("transparency")  # a colour that is transparent, or a palette's alpha
    if image.mode == "P" and isinstance(key, bytes) and len(key) > _MOST_COLOURS:
        del image.info["transparency"]  # as libpng does with such a chunk
        key = None
    depth = data[24] if image.format == "PNG" else 8
    if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are used
        return _upper_bits(image, key)
    if image.mode == "L" and depth in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**depth - 1)  # as Pillow scales the pixels
    if image.mode == "RGB" and depth == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if key is not None or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _upper_bits(image: Image.Image, key: object) -> Image.Image:
    """Returns grey of up to 16 bits as 8 bits, where it equals `key` white."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    unused = 16 - int(tags.get(BITS, (16,))[0])  # Pillow has 12 bits as they are
    grey = (np.clip(values, 0, 65535) >> 8 - unused).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == 0:  # white is zero, which Pillow heeds up to 8 bits
        grey = 255 - grey
    return Image.fromarray(np.where(values == key, np.uint8(255), grey))


def _on_white(image: Image.Image) -> Image.Image:
    """Returns `image` as RGB, composited strip by strip: a large one is not in memory thrice."""
    if image.mode != "RGBA":
        return image if image.mode == "RGB" else image.convert("RGB")
    shown = Image.new("RGB", image.size)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        white = Image.new("RGBA", strip.size, "white")
        shown.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return shown
