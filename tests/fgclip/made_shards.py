"""Small datasets in the format of the data contract: coloured shapes on gray."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import webdataset
from PIL import Image, ImageDraw

COLORS = {
    "red": (205, 32, 38), "green": (40, 145, 62), "blue": (38, 84, 190), "white": (240, 240, 238),
    "black": (24, 24, 28), "yellow": (240, 210, 40),
}  # fmt: skip
SHAPES = ("square", "ball")


def sample(number: int) -> tuple[bytes, dict[str, Any]]:
    """One image (JPEG) with one to five objects, and its JSON."""
    rng = random.Random(number)
    width, height = rng.choice([(64, 64), (96, 64), (64, 96)])
    image = Image.new("RGB", (width, height), (128, 128, 128))
    draw = ImageDraw.Draw(image)
    regions = []
    for index in range(rng.randint(1, 5)):
        color, shape = rng.choice(list(COLORS)), rng.choice(SHAPES)
        left, top = rng.randint(0, width - 24), rng.randint(0, height - 24)
        box = (left, top, left + rng.randint(10, 22), top + rng.randint(10, 22))
        (draw.rectangle if shape == "square" else draw.ellipse)(box, fill=COLORS[color])
        others = [c for c in COLORS if c != color]
        wrong = others[: rng.randint(0, len(others))]
        regions.append(
            {
                "box": [box[0] / width, box[1] / height, box[2] / width, box[3] / height],
                "score": 0.9,
                "phrase": shape,
                "short_expr": f"a {color} {shape}",
                "long_expr": f"a {color} {shape} on a gray ground, number {index}",
                "hard_negatives": [
                    {
                        "text": f"a {c} {shape}",
                        "attribute": "color",
                        "original": color,
                        "replacement": c,
                        "verified": True,
                    }
                    for c in wrong
                ],
                "verified": True,
            }  # fmt: skip
        )
    names = " and ".join(r["short_expr"] for r in regions)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    return data.getvalue(), {
        "schema_version": "1.0",
        "key": f"{number:06d}",
        "image": {
            "width": width, "height": height, "format": "jpg", "sha256": "", "source_uri": "",
            "url": None, "license": None,
        },
        "alt_text": None,
        "short_caption": names,
        "long_caption": f"The picture {number} shows {names}. " + "It is drawn by a program. " * 3,
        "regions": regions,
        "provenance": {},
    }  # fmt: skip


def write(
    folder: Path, count: int, per_shard: int = 16, first: int = 0, sizes: bool = True
) -> Path:
    """A dataset of `count` samples in `folder`; returns `folder`."""
    (folder / "shards").mkdir(parents=True)
    shards = -(-count // per_shard)
    written = {}
    for shard in range(shards):
        name = f"finehard-{shard:05d}-of-{shards:05d}.tar"
        numbers = range(first + shard, first + count, shards)
        with webdataset.TarWriter(str(folder / "shards" / name), encoder=False) as tar:
            for number in numbers:
                image, text = sample(number)
                key = f"{number:06d}"
                tar.write({"__key__": key, "jpg": image, "json": json.dumps(text).encode()})
        written[name] = len(numbers)
    if sizes:
        (folder / "sizes.json").write_text(json.dumps(written))
    return folder
