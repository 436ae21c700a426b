"""The views of an image that are sent to models: scaled, cropped, padded, as JPEG."""

from __future__ import annotations

import io
import math

from PIL import Image

from finehard.images.config import ImagesConfig
from finehard.records import Box

_GREY = (127, 127, 127)
"""What vision encoders normalise to about zero."""


def fit(image: Image.Image, side: int) -> Image.Image:
    """Returns `image`, scaled down where its longest side is more than `side` pixels."""
    longest = max(image.size)
    if longest <= side:
        return image
    width, height = (max(1, round(w * side / longest)) for w in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def as_sent(image: Image.Image, side: int, config: ImagesConfig) -> Image.Image:
    """Returns `image` in a size that servers accept, its longest side at most `side` pixels.

    A shortest side below `config.sent_min_side` is enlarged to that, or as far as `side` allows;
    what is still missing is added as grey bars, since distorted things are described wrongly.
    """
    image = fit(image, side)
    shortest, longest = sorted(image.size)
    scale = min(config.sent_min_side / shortest, side / longest)
    if scale > 1.0:
        width, height = (round(w * scale) for w in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    least = max(config.sent_min_side, math.ceil(max(image.size) / config.sent_max_aspect))
    if min(image.size) >= least:
        return image
    width, height = (max(w, least) for w in image.size)
    padded = Image.new("RGB", (width, height), _GREY)
    padded.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return padded


def cut_out(image: Image.Image, box: Box, config: ImagesConfig) -> Image.Image:
    """Returns the crop of `image` at normalised xyxy `box` with its margin, its longest side at
    most `crop_side` pixels, in a size that servers accept."""
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * config.crop_margin, (y2 - y1) * config.crop_margin
    width, height = image.size
    left, top = int(max(0.0, x1 - dx) * width), int(max(0.0, y1 - dy) * height)
    right = max(left + 1, round(min(1.0, x2 + dx) * width))
    bottom = max(top + 1, round(min(1.0, y2 + dy) * height))
    left, top = min(left, width - 1), min(top, height - 1)
    crop = image.crop((left, top, min(right, width), min(bottom, height)))
    return as_sent(crop, config.crop_side, config)


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Returns `image` as JPEG bytes."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
