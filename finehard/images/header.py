"""Reads image headers: format, displayed size, orientation. Limits are checked before pixels."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from finehard.images.bare import bare
from finehard.images.config import ImagesConfig
from finehard.images.orientation import read_orientation
from finehard.images.tiff import first_page, is_tiff
from finehard.images.unread import name_of

FORMATS = {
    "JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp",
    "AVIF": "avif", "BMP": "bmp", "GIF": "gif", "JPEG2000": "jp2", "PPM": "ppm", "TIFF": "tiff",
}  # fmt: skip
"""Pillow's names of the formats that are read, and the file extension of each."""

MEMBERS = ("jpg", "png", "webp")
"""Extensions of images in a shard; the other formats become PNG (`finehard.images.stored`)."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""File name endings of images, lower case, in order of preference where a sample has several."""

# Pillow refuses images above a limit of its own and warns below it; the limit here is the config's.
Image.MAX_IMAGE_PIXELS = None
# Once, for all threads: `warnings.catch_warnings` is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")

_OPENED = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,  # opens MPO too, which Pillow lists as no format of its own
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        AvifImagePlugin.AvifImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        Jpeg2KImagePlugin.Jpeg2KImageFile,
        PpmImagePlugin.PpmImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
"""From the plugins, so that they are imported: `Image.open` knows only imported ones."""

_UNCLEAR = {"F": "floating point", "I": "signed or 32 bits", "LAB": "CIE Lab", "HSV": "HSV"}
"""Pillow's modes of pixels whose brightness or colour is not agreed on, and what they are."""


class ImageError(Exception):
    """These bytes are no acceptable image; `reason` is from `finehard.rejects.REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Header(NamedTuple):
    """What an image's header says: extension, and the size in pixels as displayed."""

    format: str
    width: int
    height: int


class Opened(NamedTuple):
    """An image whose pixels are not decoded yet. `damaged`: its metadata keep Pillow from opening
    the bytes as they are. `has_more`: the file has further frames or pages."""

    image: Image.Image
    header: Header
    orientation: int
    damaged: bool
    has_more: bool


def header(data: bytes, config: ImagesConfig) -> Header:
    """Returns what the header says, decoding no pixel. Raises `ImageError` for what is no image or
    outside the limits."""
    return open_image(data, config).header


def open_image(data: bytes, config: ImagesConfig) -> Opened:
    """Opens an image within the limits of `config`. Raises `ImageError`."""
    if len(data) > config.max_bytes:
        raise ImageError("image_file_too_large", f"{len(data)} bytes")
    _check_pixels(_webp_size(data), config)
    try:
        image, damaged, has_more = _open(data)
    except MemoryError as error:
        raise ImageError("image_too_large", one_line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("not_an_image", one_line(error, data)) from None
    width, height = image.size
    _check_pixels((width, height), config)
    if min(width, height) < config.min_side:
        raise ImageError("image_too_small", f"{width} x {height} px")
    mode = image.mode
    if mode in _UNCLEAR and (mode != "I" or image.format == "TIFF"):  # PNG and PPM: 16 bits
        raise ImageError("not_an_image", f"pixels are {_UNCLEAR[mode]}, which has no one meaning")
    orientation = read_orientation(data, image)
    if orientation >= 5:  # rotated by 90 degrees
        width, height = height, width
    extension = FORMATS[str(image.format)]
    return Opened(image, Header(extension, width, height), orientation, damaged, has_more)


def _open(data: bytes) -> tuple[Image.Image, bool, bool]:
    """Returns the image, whether it is opened without its metadata, and whether there is more."""
    if is_tiff(data):
        page = first_page(data)
        if page.problem:
            raise ValueError(page.problem)
        return open_file(page.bare), False, page.has_more
    try:
        image, damaged = open_file(data), False
    except MemoryError:
        raise
    except Exception:  # of metadata, Pillow reads some while it opens a file
        less = bare(data)
        if less == data:
            raise
        image, damaged = open_file(less), True
    return image, damaged, _is_animated(image, data)


def _is_animated(image: Image.Image, data: bytes) -> bool:
    if image.format in ("JPEG", "MPO"):
        return False  # its further images are views and previews of the first
    try:
        if image.format == "GIF":  # Pillow looks for a second frame
            image = open_file(data)
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first frame is damaged
        return True


def open_file(data: bytes) -> Image.Image:
    """Opens an image of the accepted formats. Raises whatever Pillow does."""
    return Image.open(io.BytesIO(data), formats=_OPENED)


def _check_pixels(size: tuple[int, int], config: ImagesConfig) -> None:
    if size[0] * size[1] > config.max_pixels:
        raise ImageError("image_too_large", f"{size[0]} x {size[1]} px")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Returns width and height of an extended WebP's canvas, (0, 0) for all else.

    Pillow allocates the whole canvas when it opens one (RIFF header, then chunk VP8X).
    """
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X" or len(data) < 30:
        return 0, 0
    return tuple(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))  # type: ignore[return-value]


def one_line(error: BaseException, data: bytes) -> str:
    """Returns the error's text on one line, at most 200 characters."""
    text = " ".join(str(error).split())
    if "cannot identify" in text or not text:
        text = name_of(data) or f"{len(data)} bytes starting {data[:8]!r}"
    return text[:200]
