"""Classification of boxes among a list of classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finehard.benchmarks.benchmark import Figure, figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.interval import of_ratio
from finehard.benchmarks.items import Boxes
from finehard.benchmarks.measures.classes import encode_classes
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import ranks_of_scores


@dataclass(frozen=True)
class BoxClassification:
    """Yields top1 and top5 for each K of `at`: the share of boxes whose class is among the first K.

    An image is encoded once for all its boxes.
    """

    kind: TextKind = "region"
    at: tuple[int, ...] = (1, 5)

    def __call__(self, data: Boxes, encoder: Encoder) -> list[Figure]:
        """Returns the figures."""
        assert data.classes is not None
        classes = encode_classes(data.classes, self.kind, encoder)
        strict, order, counts = [], [], []
        for batch, features in encoder.encode_boxes(data.items):
            scores = np.concatenate(features) @ classes.features.T
            own = np.array([[number] for item in batch for number in item.answers])
            strict.append(ranks_of_scores(scores, classes.which[own]).strict)
            order.append(ranks_of_scores(scores[:, classes.which], own).by_order)
            counts += [len(item.answers) for item in batch]
        return share_of_boxes(
            np.concatenate(strict), np.concatenate(order), counts,
            {f"top{k}": k for k in self.at},
        )  # fmt: skip


def share_of_boxes(
    strict: np.ndarray, published: np.ndarray, counts: list[int], names: dict[str, int]
) -> list[Figure]:
    """Returns the share of boxes with a rank below K, for each K of `names`; `counts` are the
    boxes of each image."""
    image = np.repeat(np.arange(len(counts)), counts)
    found = []
    for name, k in names.items():
        right = strict < k
        interval = of_ratio(np.bincount(image, weights=right, minlength=len(counts)), counts)
        as_published = float((published < k).mean())
        found.append(figure(name, float(right.mean()), interval, len(right), "boxes", as_published))
    return found
