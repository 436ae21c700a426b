"""A model that sees one colour in an image or box, and the plain pictures that it is shown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RGB = {"red": (220, 20, 20), "blue": (20, 20, 220), "green": (20, 180, 20),
       "yellow": (230, 220, 20), "black": (10, 10, 10)}  # fmt: skip
NAMES = list(RGB)


class ColourModel:
    """Knows the colour in the middle of an image or box, and the words that `words` maps to a
    colour; a text with several words of colours is between them, one without is none of them."""

    def __init__(self, words: dict[str, str] | None = None, limit: int = 1000) -> None:
        self.name = "colours"
        self.batch = 3
        self.cut: dict[Any, int] = {"short": 0, "long": 0, "region": 0}
        self.images = 0
        self.boxes = 0
        self.kinds: list[str] = []
        self._words = {name: name for name in NAMES} if words is None else words
        self._limit = limit

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.images += len(images)
        assert len(images) <= self.batch
        return np.stack([_one(image, (0, 0, 1, 1)) for image in images])

    def encode_texts(self, texts: Sequence[str], kind: Any) -> np.ndarray:
        self.kinds.append(kind)
        self.cut[kind] += sum(len(text) > self._limit for text in texts)
        rows = np.zeros((len(texts), len(NAMES) + 1), np.float32)
        for row, text in zip(rows, texts, strict=True):
            found = [c for word, c in self._words.items() if word in text[: self._limit].lower()]
            for colour in found:
                row[NAMES.index(colour)] += 1
            row[-1] = not found
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_boxes(self, images: Sequence[Image.Image], boxes: Sequence[Any]) -> list[np.ndarray]:
        self.images += len(images)
        self.boxes += sum(map(len, boxes))
        return [
            np.stack([_one(image, box) for box in own])
            for image, own in zip(images, boxes, strict=True)
        ]

    def spelled(self, texts: Sequence[str]) -> int:
        return 0

    def describe(self) -> dict[str, Any]:
        return {"family": "colours", "boxes": "the pixel in the middle"}


def _one(image: Image.Image, box: Any) -> np.ndarray:
    x = min(image.width - 1, int((box[0] + box[2]) / 2 * image.width))
    y = min(image.height - 1, int((box[1] + box[3]) / 2 * image.height))
    pixel = np.array(image.getpixel((x, y)), float)
    near = np.argmin([((pixel - np.array(rgb)) ** 2).sum() for rgb in RGB.values()])
    return np.eye(len(NAMES) + 1, dtype=np.float32)[near]


def paint(path: Path, *colours: str) -> None:
    """Writes an image of 32 x 32 px a colour, side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(painted(*colours, kind="PNG" if path.suffix == ".png" else "JPEG"))


def painted(*colours: str, kind: str = "PNG") -> bytes:
    """An image of 32 x 32 px a colour, side by side."""
    image = Image.new("RGB", (32 * len(colours), 32))
    for number, colour in enumerate(colours):
        image.paste(RGB[colour], (32 * number, 0, 32 * number + 32, 32))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()
