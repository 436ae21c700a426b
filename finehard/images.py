"""Images from hostile bytes: headers checked before pixels, decoded once, encoded for models."""

from __future__ import annotations

import io
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from finehard.limits import Amount, Count, Positive, Quality
from finehard.records import WHOLE, Box, Record

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
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image stand as displayed (as in PIL.ImageOps)."""


@dataclass(frozen=True)
class ImagesConfig:
    """Which images are taken, and how they are shown to the models."""

    max_bytes: Positive = 100_000_000
    max_pixels: Positive = 100_000_000
    min_side: Positive = 16
    max_side: Positive = 1024
    """Longest side, in pixels, of what is decoded and sent: more than the model uses is waste."""
    crop_side: Positive = 448
    """Longest side, in pixels, of a cut-out that is sent."""
    crop_margin: Amount = 0.15
    """Context added around a cut-out, on each side, as a fraction of the box's side."""
    jpeg_quality: Quality = 90
    cache_bytes: Count = 400_000_000
    """Memory for decoded images, so that later stages do not decode again."""


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


class Decoded(NamedTuple):
    """A decoded image; `sendable` when its file's bytes can go to a model as they are."""

    pixels: Image.Image
    sendable: bool


def header(data: bytes, config: ImagesConfig) -> Header:
    """Reads the header only. Raises `ImageError` for what is no image or outside the limits."""
    return _open(data, config)[1]


def _open(data: bytes, config: ImagesConfig) -> tuple[Image.Image, Header, int]:
    """The image, not decoded, its header, and its EXIF orientation (1 to 8)."""
    if len(data) > config.max_bytes:
        raise ImageError("image_file_too_large", f"{len(data)} bytes")
    _within(_webp_size(data), config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning: our limit is checked below
            image = Image.open(io.BytesIO(data), formats=_OPENED)
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ImageError("image_too_large", _line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("not_an_image", _line(error, data)) from None
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


def decode(data: bytes, config: ImagesConfig) -> Decoded:
    """The image as displayed, RGB, its longest side at most `config.max_side` pixels.

    JPEGs are decoded at a reduced scale where that suffices; EXIF rotation is applied,
    transparency laid on white, the first frame taken. Raises `ImageError`.
    """
    image, _, orientation = _open(data, config)
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
        raise ImageError("image_too_large", _line(error, data)) from None
    except Exception as error:  # a hostile file can make a decoder fail in any way
        raise ImageError("truncated_image", _line(error, data)) from None
    if orientation in _TURNED:
        image = image.transpose(_TURNED[orientation])
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


def fit(image: Image.Image, side: int) -> Image.Image:
    """`image`, made smaller where its longest side is more than `side` pixels."""
    longest = max(image.size)
    if longest <= side:
        return image
    width, height = (max(1, round(w * side / longest)) for w in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def cut_out(image: Image.Image, box: Box, config: ImagesConfig) -> Image.Image:
    """The part of `image` in normalised xyxy `box` with its margin, at most `crop_side` long."""
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * config.crop_margin, (y2 - y1) * config.crop_margin
    width, height = image.size
    left, top = int(max(0.0, x1 - dx) * width), int(max(0.0, y1 - dy) * height)
    right = max(left + 1, round(min(1.0, x2 + dx) * width))
    bottom = max(top + 1, round(min(1.0, y2 + dy) * height))
    left, top = min(left, width - 1), min(top, height - 1)
    return fit(image.crop((left, top, min(right, width), min(bottom, height))), config.crop_side)


def jpeg(image: Image.Image, quality: int) -> bytes:
    """`image` as JPEG bytes."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _orientation(image: Image.Image, data: bytes) -> int:
    try:
        if image.format == "PNG" and "exif" not in image.info:
            # Pillow would decode all pixels to look behind them
            image.info.update(_png_exif(data))
        # the base class's: PNG's own decodes all pixels first
        found = int(Image.Image.getexif(image).get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF of any kind means: as it lies
        return 1
    return found if found in _TURNED else 1


def _png_exif(data: bytes) -> dict[str, bytes]:
    """The eXIf chunk of a PNG, wherever it stands, as Pillow's `info` names it."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return {"exif": b"Exif\0\0" + data[at + 8 : at + 8 + length]}
        at += 12 + length
    return {}


def _line(error: BaseException, data: bytes) -> str:
    text = " ".join(str(error).split())
    if "cannot identify" in text or not text:
        text = f"{len(data)} bytes starting {data[:8]!r}"
    return text[:200]


class _Kept:
    """What is held of one image. `lock` is held while it is filled; `weight` is in bytes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: bytes | None = None
        self.decoded: Decoded | None = None
        self.views: dict[Box, bytes] = {}
        self.weight = 0

    def weigh(self) -> int:
        """Bytes of memory, about."""
        pixels = self.decoded.pixels.width * self.decoded.pixels.height * 3 if self.decoded else 0
        return len(self.data or b"") + pixels + sum(map(len, self.views.values()))


class Images:
    """The images in work: read where the record says, decoded once, kept while there is room.

    `fetch` reads a record's bytes; one instance serves all stages of a process, from any thread.
    """

    def __init__(self, config: ImagesConfig, fetch: Callable[[Record], bytes]) -> None:
        self.config = config
        self.decodes = 0
        self._fetch = fetch
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()  # taken inside a `_Kept.lock`, never around one

    def put(self, record: Record, data: bytes) -> None:
        """Keeps the bytes of `record`, just read, so that no stage reads them again."""
        kept = self._entry(record)
        with kept.lock:
            kept.data = data
            self._weigh(record.source, kept)

    def pixels(self, record: Record) -> Image.Image:
        """The decoded image (see `decode`). Raises `ImageError`, `OSError` or `EOFError`."""
        kept = self._entry(record)
        with kept.lock:
            return self._decoded(record, kept).pixels

    def views(self, record: Record, boxes: tuple[Box, ...]) -> list[bytes]:
        """JPEG bytes of the parts of the image in `boxes`, in their order. Raises as `pixels`."""
        kept = self._entry(record)
        with kept.lock:
            decoded = self._decoded(record, kept)
            for box in boxes:
                if box not in kept.views:
                    kept.views[box] = self._view(kept, decoded, box)
            self._weigh(record.source, kept)
            return [kept.views[box] for box in boxes]

    def drop(self, source: str) -> None:
        """Forgets an image that has gone through all stages."""
        with self._lock:
            kept = self._kept.pop(source, None)
            self._held -= kept.weight if kept else 0

    def _entry(self, record: Record) -> _Kept:
        with self._lock:
            kept = self._kept.setdefault(record.source, _Kept())
            self._kept.move_to_end(record.source)
            return kept

    def _view(self, kept: _Kept, decoded: Decoded, box: Box) -> bytes:
        quality = self.config.jpeg_quality
        if box != WHOLE:
            return jpeg(cut_out(decoded.pixels, box, self.config), quality)
        if decoded.sendable and kept.data is not None:
            return kept.data
        return jpeg(decoded.pixels, quality)

    def _decoded(self, record: Record, kept: _Kept) -> Decoded:
        if kept.decoded is None:
            if kept.data is None:
                kept.data = self._fetch(record)
            kept.decoded = decode(kept.data, self.config)
            with self._lock:
                self.decodes += 1
            self._weigh(record.source, kept)
        return kept.decoded

    def _weigh(self, source: str, kept: _Kept) -> None:
        """Books what `kept` now weighs, and lets go of what was used longest ago."""
        weight = kept.weigh()
        with self._lock:
            if self._kept.get(source) is not kept:
                return  # dropped meanwhile: whoever still uses it holds it
            self._held += weight - kept.weight
            kept.weight = weight
            while self._held > self.config.cache_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._held -= oldest.weight
