"""Thumbnails as data URIs of a limited size, and images with their boxes drawn."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageDraw, ImageFont

from finehard.dataset.shard import Sample
from finehard.images import ImageError

SIDE = 448
"""Longest side of a thumbnail in pixels; sharp at the width at which it is shown."""
COLORS = ("#e6194b", "#0a84ff", "#1fa84a", "#f58231", "#a03ccf", "#00a5a5", "#d4a017", "#e0399b")
"""Colours of boxes in turn; legible on light and dark."""


def letters(color: str) -> str:
    """Black or white, whichever has more contrast on `color` ("#rrggbb"): at least 4.58.

    Contrast and luminance are those of WCAG 2.2.
    """
    sides = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in sides)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000" if (light + 0.05) ** 2 > 1.05 * 0.05 else "#fff"


def thumbnail(sample: Sample, limit: int, side: int = SIDE) -> str | None:
    """The sample's image as a WebP data URI of at most `limit` characters; None if undecodable.

    Its longest side is at most `side` pixels. Quality is reduced before size.
    """
    try:
        image = sample.image(side)
    except ImageError:
        return None
    while max(image.size) >= 16:
        for quality in (78, 60, 40):
            out = io.BytesIO()
            image.save(out, "WEBP", quality=quality, method=4)
            uri = "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
            if len(uri) <= limit:
                return uri
        image = image.resize((max(1, image.width * 2 // 3), max(1, image.height * 2 // 3)))
    return None


def draw_boxes(sample: Sample, side: int = 1600) -> Image.Image:
    """The sample's image with its boxes, each labelled with number and short expression.

    The longest side is 640 to `side` pixels. Raises `ImageError`.
    """
    image, regions = sample.image(side), sample.json["regions"]
    if max(image.size) < 640:  # labels would cover a smaller image
        factor = 640 / max(image.size)
        image = image.resize((round(image.width * factor), round(image.height * factor)))
    pen = ImageDraw.Draw(image)
    size = max(13, max(image.size) // 60)
    font = ImageFont.load_default(size)
    for number, region in enumerate(regions, 1):
        color = COLORS[(number - 1) % len(COLORS)]
        x1, y1, x2, y2 = region["box"]
        box = (x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height)
        pen.rectangle(box, outline=color, width=max(2, size // 6))
    for number, region in enumerate(regions, 1):  # labels above all boxes
        color = COLORS[(number - 1) % len(COLORS)]
        text = f"{number} {region['short_expr']}"[:60]
        x, y = region["box"][0] * image.width, region["box"][1] * image.height
        width = pen.textlength(text, font=font) + size // 2
        x = max(0.0, min(x, image.width - width))
        y = y - size * 1.4 if y >= size * 1.4 else y
        pen.rectangle((x, y, x + width, y + size * 1.4), fill=color)
        pen.text((x + size // 4, y + size * 0.1), text, fill=letters(color), font=font)
    return image
