"""Reads image headers: format, displayed size, orientation; limits are checked before any pixel."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from finehard.images.config import ImagesConfig

FORMATS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats that are read, and the file extension each has in a shard."""

_OPENED = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,  # opens MPO too, which is no format of its own to Pillow
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
    )
)
"""From the plugins, so that they are imported: `Image.open` knows only what is."""

_ORIENTATION = 0x0112  # EXIF tag
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image stand as displayed (as in PIL.ImageOps)."""


class ImageError(Exception):
    """These bytes are no image we take; `reason` is from `finehard.rejects.REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Header(NamedTuple):
    """What an image's header says: extension, and the size in pixels as displayed."""

    format: str
    width: int
    height: int


def header(data: bytes, config: ImagesConfig) -> Header:
    """Reads the header only. Raises `ImageError` for what is no image or outside the limits."""
    return open_image(data, config)[1]


def open_image(data: bytes, config: ImagesConfig) -> tuple[Image.Image, Header, int]:
    """The image, not decoded, its header, and its EXIF orientation (1 to 8)."""
    if len(data) > config.max_bytes:
        raise ImageError("image_file_too_large", f"{len(data)} bytes")
    _within(_webp_size(data), config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning: our limit is checked below
            image = Image.open(io.BytesIO(data), formats=_OPENED)
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ImageError("image_too_large", one_line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("not_an_image", one_line(error, data)) from None
    width, height = image.size
    _within((width, height), config)
    if min(width, height) < config.min_side:
        raise ImageError("image_too_small", f"{width} x {height} px")
    orientation = _orientation(image, data)
    if orientation >= 5:  # the displayed image lies on its side
        width, height = height, width
    return image, Header(FORMATS[str(image.format)], width, height), orientation


def _within(size: tuple[int, int], config: ImagesConfig) -> None:
    if size[0] * size[1] > config.max_pixels:
        raise ImageError("image_too_large", f"{size[0]} x {size[1]} px")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of an extended WebP's canvas, (0, 0) for all else.

    Pillow takes memory for the whole canvas when it opens one (RIFF header, then chunk VP8X).
    """
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < 30:
        return 0, 0
    return tuple(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))  # type: ignore[return-value]


def _orientation(image: Image.Image, data: bytes) -> int:
    try:
        if image.format == "PNG" and "exif" not in image.info:
            # Pillow would decode all pixels to look behind them
            image.info.update(_png_exif(data))
        # the base class's: PNG's own decodes all pixels first
        found = int(Image.Image.getexif(image).get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF of any kind means: as it lies
        return 1
    return found if found in TURNED else 1


def _png_exif(data: bytes) -> dict[str, bytes]:
    """The eXIf chunk of a PNG, wherever it stands, as Pillow's `info` names it."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return {"exif": b"Exif\0\0" + data[at + 8 : at + 8 + length]}
        at += 12 + length
    return {}


def one_line(error: BaseException, data: bytes) -> str:
    text = " ".join(str(error).split())
    if "cannot identify" in text or not text:
        text = f"{len(data)} bytes starting {data[:8]!r}"
    return text[:200]
