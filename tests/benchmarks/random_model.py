"""A model with random features: of an image by its first pixel, of a text by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

SIDE = 32


def unit(rows: np.ndarray) -> np.ndarray:
    """The rows at length 1, as float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class RandomModel:
    """Features of `width` numbers, drawn anew for each image and text from its content.

    With `shared`, images and texts that share a number lean to each other, so that figures are
    neither 0 nor 1: "7 of a kind" and an image whose first pixel is 7.
    """

    def __init__(self, width: int = 16, shared: float = 1.0) -> None:
        self.name, self.batch, self.cut = "random", 4, {}
        self.encoded: list[int] = []
        self._width, self._shared = width, shared

    def _features(self, number: int, seed: int) -> np.ndarray:
        own = np.random.default_rng(seed).normal(size=self._width)
        return own + self._shared * np.random.default_rng(number).normal(size=self._width)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.encoded.append(len(images))
        return unit(np.stack([self._of_image(image.getpixel((0, 0))) for image in images]))

    def _of_image(self, pixel: Any) -> np.ndarray:
        red, green, _ = pixel
        return self._features(red, 1000 + 256 * red + green)

    def encode_texts(self, texts: Sequence[str], kind: Any) -> np.ndarray:
        rows = [self._features(int(_digits(t)), 10**6 + sum(map(ord, t)) * 257) for t in texts]
        return unit(np.stack(rows))

    def encode_boxes(self, images: Sequence[Image.Image], boxes: Sequence[Any]) -> list[np.ndarray]:
        self.encoded.append(len(images))
        found = []
        for image, own in zip(images, boxes, strict=True):
            rows = [
                self._of_image(image.getpixel((0, 0)))
                + np.random.default_rng([int(v * 1000) for v in box]).normal(size=self._width)
                for box in own
            ]
            found.append(unit(np.stack(rows)))
        return found

    def spelled(self, texts: Sequence[str]) -> int:
        return 0

    def describe(self) -> dict[str, Any]:
        return {"family": "random"}


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit()) or "0"


def number_image(number: int, variant: int = 0) -> Image.Image:
    """An image whose first pixel is (number, variant, 0)."""
    return Image.new("RGB", (SIDE, SIDE), (number, variant, 0))
