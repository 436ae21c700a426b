"""Small pictures and records for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from finehard.records import Bytes, Record, Region


def picture(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """A smooth picture, no two seeds alike, whose corners all differ."""
    chance = np.random.default_rng(seed)
    small = chance.integers(0, 255, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """`image` as a file's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpg(seed: int = 0, width: int = 40, height: int = 30) -> bytes:
    """A small JPEG."""
    return encoded(picture(width, height, seed), quality=90)


def record(*regions: Region, key: str = "k", **fields: Any) -> Record:
    """A record with `regions`."""
    given = {"source": f"/in/{key}.jpg", "unit": "u", "image": Bytes("", 0, 0), "sha256": ""}
    return Record(key, **{**given, "regions": regions, **fields})


def region(short: str, long: str = "", **fields: Any) -> Region:
    """A region called `short`."""
    return Region((0.1, 0.1, 0.6, 0.7), 0.5, short, short, long or short, **fields)
