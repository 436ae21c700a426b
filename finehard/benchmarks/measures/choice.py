"""The true text of an image against false ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finehard.benchmarks.benchmark import Figure, figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.interval import of_ratio
from finehard.benchmarks.items import Choices
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import TIE, distinct


@dataclass(frozen=True)
class Choice:
    """Yields image_to_text: the share of items whose true texts all score above every false one.

    With two true texts also text_to_text: both are nearer to each other than to any false one,
    without the image. Ties are wrong.
    """

    kind: TextKind = "short"

    def __call__(self, data: Choices, encoder: Encoder) -> list[Figure]:
        """Returns the figures."""
        texts, which = distinct(t for item in data.items for t in (*item.true, *item.false))
        features = encoder.encode_texts(texts, self.kind)
        numbers = iter(which.tolist())
        rows = {
            id(item): ([next(numbers) for _ in item.true], [next(numbers) for _ in item.false])
            for item in data.items
        }
        names, by_image, by_text = [], [], []
        for batch, images in encoder.encode_images(data.items):
            for item, image in zip(batch, images, strict=True):
                true, false = (features[numbers] for numbers in rows[id(item)])
                names.append(item.picture.name)
                by_image.append((true @ image).min() - (false @ image).max() > TIE)
                if len(true) == 2:
                    by_text.append(true[0] @ true[1] - (true @ false.T).max() > TIE)
        found = [_share("image_to_text", np.array(by_image), names)]
        return [*found, _share("text_to_text", np.array(by_text), names)] if by_text else found


def _share(name: str, right: np.ndarray, names: list[str]) -> Figure:
    _, image = distinct(names)
    interval = of_ratio(np.bincount(image, weights=right), np.bincount(image))
    value = float(right.mean())
    return figure(name, value, interval, len(right), "items", value)
