"""The views of an image that are sent to models: scaled down, cropped, as JPEG."""

from __future__ import annotations

import io

from PIL import Image

from finehard.images.config import ImagesConfig
from finehard.records import Box


def fit(image: Image.Image, side: int) -> Image.Image:
    """Returns `image`, scaled down where its longest side is more than `side` pixels."""
    longest = max(image.size)
    if longest <= side:
        return image
    width, height = (max(1, round(w * side / longest)) for w in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def cut_out(image: Image.Image, box: Box, config: ImagesConfig) -> Image.Image:
    """Returns the crop of `image` at normalised xyxy `box` with its margin, its longest side at
    most `crop_side` pixels."""
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * config.crop_margin, (y2 - y1) * config.crop_margin
    width, height = image.size
    left, top = int(max(0.0, x1 - dx) * width), int(max(0.0, y1 - dy) * height)
    right = max(left + 1, round(min(1.0, x2 + dx) * width))
    bottom = max(top + 1, round(min(1.0, y2 + dy) * height))
    left, top = min(left, width - 1), min(top, height - 1)
    return fit(image.crop((left, top, min(right, width), min(bottom, height))), config.crop_side)


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Returns `image` as JPEG bytes."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
