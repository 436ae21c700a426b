"""Images from hostile bytes: headers checked before pixels, decoded once, encoded for the models."""

from __future__ import annotations

import io
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from finehard.records import WHOLE, Box, Record

FORMATS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats that are read, and the file extension each has in a shard."""

_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class ImagesConfig:
    """Which images are taken, and how they are shown to the models."""

    max_bytes: int = 100_000_000
    max_pixels: int = 100_000_000
    min_side: int = 16
    max_side: int = 1024
    """Longest side, in pixels, of what is decoded and sent: more than the model uses is waste."""
    crop_side: int = 448
    """Longest side, in pixels, of a cut-out that is sent."""
    crop_margin: float = 0.15
    """Context added around a cut-out, on each side, as a fraction of the box's side."""
    jpeg_quality: int = 90
    cache_bytes: int = 400_000_000
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


def header(data: bytes, config: ImagesConfig) -> Header:
    """Reads the header only. Raises `ImageError` for what is no image or outside the limits."""
    return _open(data, config)[1]


def _open(data: bytes, config: ImagesConfig) -> tuple[Image.Image, Header]:
    if len(data) > config.max_bytes:
        raise ImageError("image_file_too_large", f"{len(data)} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning: our limit is checked below
            image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, OverflowError) as error:
        raise ImageError("not_an_image", _line(error, data)) from None
    except Image.DecompressionBombError as error:
        raise ImageError("image_too_large", _line(error, data)) from None
    width, height = image.size
    if width * height > config.max_pixels:
        raise ImageError("image_too_large", f"{width} x {height} px")
    if min(width, height) < config.min_side:
        raise ImageError("image_too_small", f"{width} x {height} px")
    if _orientation(image) >= 5:  # 5 to 8: the displayed image lies on its side
        width, height = height, width
    return image, Header(FORMATS[str(image.format)], width, height)


class Decoded(NamedTuple):
    """A decoded image; `sendable` when its file's bytes can go to a model as they are."""

    pixels: Image.Image
    sendable: bool


def decode(data: bytes, config: ImagesConfig) -> Decoded:
    """The image as displayed, RGB, its longest side at most `config.max_side` pixels.

    JPEGs are decoded at a reduced scale where that suffices; EXIF rotation is applied,
    transparency laid on white, the first frame taken. Raises `ImageError`.
    """
    image, _ = _open(data, config)
    plain = image.format == "JPEG" and image.mode in ("RGB", "L") and _orientation(image) == 1
    sendable = plain and max(image.size) <= config.max_side
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.draft("RGB", (config.max_side, config.max_side))
            image.load()
            if not plain:
                image = _as_displayed(image)
            if image.mode != "RGB":
                image = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, OverflowError, EOFError) as error:
        raise ImageError("truncated_image", _line(error, data)) from None
    return Decoded(fit(image, config.max_side), sendable)


def _as_displayed(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a channel
        image = image.point(lambda v: v / 256, "L")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image


def fit(image: Image.Image, side: int) -> Image.Image:
    """`image`, made smaller where its longest side is more than `side` pixels."""
    longest = max(image.size)
    if longest <= side:
        return image
    size = (max(1, round(w * side / longest)) for w in image.size)
    return image.resize(tuple(size), Image.Resampling.BICUBIC, reducing_gap=2.0)


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


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF of any kind means: as it lies
        return 1


def _line(error: BaseException, data: bytes) -> str:
    text = " ".join(str(error).split())
    if "cannot identify" in text or not text:
        text = f"{len(data)} bytes starting {data[:8]!r}"
    return text[:200]


class _Kept:
    """What is held of one image."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.decoded: Decoded | None = None
        self.views: dict[Box, bytes] = {}

    def weight(self) -> int:
        """Bytes of memory, about."""
        pixels = self.decoded.pixels.width * self.decoded.pixels.height * 3 if self.decoded else 0
        return len(self.data) + pixels + sum(map(len, self.views.values()))


class Images:
    """The images in work: read where the record says, decoded once, kept while there is room.

    `fetch` reads a record's bytes; one instance serves all stages of a process, from any thread.
    """

    def __init__(self, config: ImagesConfig, fetch: Callable[[Record], bytes]) -> None:
        self.config = config
        self.decodes = 0
        self._fetch = fetch
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._weights: dict[str, int] = {}
        self._held = 0
        self._lock = threading.Lock()

    def put(self, record: Record, data: bytes) -> None:
        """Keeps the bytes of `record`, just read, so that no stage reads them again."""
        self._keep(record.source, _Kept(data))

    def pixels(self, record: Record) -> Image.Image:
        """The decoded image (see `decode`). Raises `ImageError`, `OSError` or `EOFError`."""
        return self._decoded(record)[1].pixels

    def views(self, record: Record, boxes: tuple[Box, ...]) -> list[bytes]:
        """JPEG bytes of the parts of the image in `boxes`, in their order. Raises as `pixels`."""
        kept, decoded = self._decoded(record)
        for box in boxes:
            if box not in kept.views:
                kept.views[box] = self._view(kept, decoded, box)
        self._keep(record.source, kept)
        return [kept.views[box] for box in boxes]

    def drop(self, source: str) -> None:
        """Forgets an image that has gone through all stages."""
        with self._lock:
            self._kept.pop(source, None)
            self._held -= self._weights.pop(source, 0)

    def _view(self, kept: _Kept, decoded: Decoded, box: Box) -> bytes:
        quality = self.config.jpeg_quality
        if box != WHOLE:
            return jpeg(cut_out(decoded.pixels, box, self.config), quality)
        return kept.data if decoded.sendable else jpeg(decoded.pixels, quality)

    def _decoded(self, record: Record) -> tuple[_Kept, Decoded]:
        with self._lock:
            kept = self._kept.get(record.source)
        if kept is None:
            kept = _Kept(self._fetch(record))
        if kept.decoded is None:
            kept.decoded = decode(kept.data, self.config)
            self.decodes += 1
            self._keep(record.source, kept)
        return kept, kept.decoded

    def _keep(self, source: str, kept: _Kept) -> None:
        weight = kept.weight()
        with self._lock:
            self._held += weight - self._weights.get(source, 0)
            self._weights[source] = weight
            self._kept[source] = kept
            self._kept.move_to_end(source)
            while self._held > self.config.cache_bytes and len(self._kept) > 1:
                oldest, _ = self._kept.popitem(last=False)
                self._held -= self._weights.pop(oldest)
