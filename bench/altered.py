"""Pictures altered as copies on the web are."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageOps

Alter = Callable[[Image.Image, random.Random], Image.Image]


def _jpeg(picture: Image.Image, quality: int = 90) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def _resized(picture: Image.Image, chance: random.Random) -> Image.Image:
    by = chance.uniform(0.4, 0.8)
    size = max(16, round(picture.width * by)), max(16, round(picture.height * by))
    return _jpeg(picture.resize(size, Image.Resampling.BILINEAR))


def _cropped(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Returns 95 % of each side, from anywhere."""
    width, height = picture.size
    left, top = (round(side * 0.05 * chance.random()) for side in (width, height))
    return _jpeg(picture.crop((left, top, left + round(width * 0.95), top + round(height * 0.95))))


def _trimmed(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Returns the picture without 5 % on each of its four sides."""
    width, height = picture.size
    box = (width * 0.05, height * 0.05, width * 0.95, height * 0.95)
    left, top, right, bottom = map(round, box)
    return _jpeg(picture.crop((left, top, right, bottom)))


def _quality_30(picture: Image.Image, chance: random.Random) -> Image.Image:
    return _jpeg(picture, 30)


def _flipped(picture: Image.Image, chance: random.Random) -> Image.Image:
    return _jpeg(ImageOps.mirror(picture))


def _with_bar(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Returns the picture with a caption bar above or below it."""
    bar, top = round(picture.height * chance.uniform(0.08, 0.2)), chance.random() < 0.5
    made = Image.new("RGB", (picture.width, picture.height + bar))
    made.paste(picture, (0, bar if top else 0))
    _draw_bar(made, 0 if top else picture.height, bar, chance)
    return _jpeg(made)


def _under_bar(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Returns the picture with a caption bar over its top or bottom."""
    bar, top = round(picture.height * chance.uniform(0.08, 0.2)), chance.random() < 0.5
    made = picture.copy()
    _draw_bar(made, 0 if top else picture.height - bar, bar, chance)
    return _jpeg(made)


def _draw_bar(picture: Image.Image, at: int, height: int, chance: random.Random) -> None:
    paper, ink = chance.choice((("white", "black"), ("black", "white")))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, at, picture.width, at + height - 1), fill=paper)
    place = picture.width * chance.uniform(0.02, 0.3), at + height * 0.2
    draw.text(place, "when you see it for the first time", fill=ink, font_size=height * 0.5)


ALTERATIONS: dict[str, Alter] = {
    "resized": _resized,
    "cropped by 5 %": _cropped,
    "trimmed by 5 % on each side": _trimmed,
    "JPEG of quality 30": _quality_30,
    "flipped": _flipped,
    "caption bar added": _with_bar,
    "caption bar drawn over it": _under_bar,
}
