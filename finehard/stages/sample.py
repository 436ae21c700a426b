"""A made-up record with its picture, to try out a stage's questions on a server."""

from __future__ import annotations

import hashlib

from PIL import Image, ImageDraw

from finehard.images import ImagesConfig, jpeg
from finehard.records import Box, Bytes, HardNegative, Phrase, Record, Region

_COLORS = ("red", "blue", "green", "yellow", "white", "black", "brown", "orange", "gray", "purple")
_THINGS = ("mug", "bowl", "book", "lamp", "ball", "clock", "bottle", "vase", "box", "candle")
_COLUMNS = 4


def sample_record(config: ImagesConfig, regions: int, seed: int = 0) -> tuple[Record, bytes]:
    """Returns a record with all that stages fill in, `regions` of them, and its picture: a JPEG
    with the most pixels that models are shown. No text is confirmed. Different seeds give other
    colours and texts."""
    boxes = [_box(number) for number in range(regions)]
    colors = [_COLORS[(number + seed) % len(_COLORS)] for number in range(regions)]
    data = jpeg(_picture(config.max_side, boxes, colors), config.jpeg_quality)
    made = tuple(_region(*item) for item in zip(boxes, colors, range(regions), strict=True))
    texts = [region.short_expr for region in made]
    record = Record(
        key=f"sample-{seed}",
        source=f"sample-{seed}.jpg",
        unit="sample",
        image=Bytes("", 0, len(data)),
        sha256=hashlib.sha256(data).hexdigest(),
        alt_text="Things on a table",
        format="JPEG",
        width=config.max_side,
        height=config.max_side,
        short_caption="Several things stand on a wooden table.",
        long_caption=f"On a wooden table there are {', '.join(texts)}.",
        phrases=tuple(Phrase(text, text.split()[-1], text) for text in texts),
        regions=made,
    )
    return record, data


def _box(number: int) -> Box:
    row, column = divmod(number, _COLUMNS)
    step = 1 / _COLUMNS
    left, top = column * step, (row % _COLUMNS) * step
    return (left + 0.02, top + 0.02, left + step - 0.02, top + step - 0.02)


def _region(box: Box, color: str, number: int) -> Region:
    text = f"a {color} {_THINGS[number % len(_THINGS)]}"
    others = [other for other in _COLORS if other != color]
    negatives = tuple(
        HardNegative(text.replace(color, other), "color", color, other, False) for other in others
    )
    return Region(box, 0.9, text, text, f"{text} on a wooden table", negatives, False)


def _picture(side: int, boxes: list[Box], colors: list[str]) -> Image.Image:
    picture = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for box, color in zip(boxes, colors, strict=True):
        draw.ellipse([at * side for at in box], fill=color, outline="black")
    return picture
