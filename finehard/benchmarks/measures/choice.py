"""The true text of an image against false ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from finehard.benchmarks.benchmark import Figure, figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.interval import of_ratio
from finehard.benchmarks.items import Choices, Picture
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import TIE, distinct


class _Texts(NamedTuple):
    """The numbers of an item's texts."""

    true: list[int]
    false: list[int]


class _Shown(NamedTuple):
    """An image, and the items that it is shown with."""

    picture: Picture
    texts: tuple[_Texts, ...]


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
        by_picture: dict[Picture, list[_Texts]] = {}
        for item in data.items:
            own = _Texts([next(numbers) for _ in item.true], [next(numbers) for _ in item.false])
            by_picture.setdefault(item.picture, []).append(own)
        shown = [_Shown(picture, tuple(items)) for picture, items in by_picture.items()]
        names, by_image, by_text = [], [], []
        for batch, images in encoder.encode_images(shown):
            for one, image in zip(batch, images, strict=True):
                for numbers_of in one.texts:
                    true, false = features[numbers_of.true], features[numbers_of.false]
                    names.append(one.picture.name)
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
