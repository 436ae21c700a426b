"""What a benchmark asks of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TextKind = Literal["short", "long", "region"]
"""A caption of a sentence, one of a paragraph, or the text of a region. A model may encode each by
a path of its own."""

Precision = Literal["bf16", "fp32"]

Features = NDArray[np.float32]
"""(n, d) features, each of length 1."""


class Model(Protocol):
    """A model of images and texts, as benchmarks use it."""

    name: str
    """Shown in tables."""
    batch: int
    """Images of one forward pass."""

    @property
    def cut(self) -> Mapping[TextKind, int]:
        """Returns how many texts were cut to the model's length so far, by kind."""

    def spelled(self, texts: Sequence[str]) -> int:
        """Returns how many of `texts` the tokenizer has no words for, as of another language."""

    def encode_images(self, images: Sequence[Image.Image]) -> Features:
        """Returns (n, d) features of RGB `images`."""

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        """Returns (n, d) features of `texts`, which are encoded in batches."""

    def encode_boxes(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[Any]]
    ) -> list[Features]:
        """Returns for each image the (k, d) features of its (k, 4) `boxes`, normalised xyxy. Each
        image is encoded once."""

    def describe(self) -> dict[str, Any]:
        """Returns family, text lengths by kind, image size, and how boxes are encoded."""
