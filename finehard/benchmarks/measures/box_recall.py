"""Classification of boxes, the mean over classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from finehard.benchmarks.benchmark import Figure, figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.interval import of_weights
from finehard.benchmarks.items import Boxes
from finehard.benchmarks.measures.box_classes import rank_boxes
from finehard.benchmarks.model import TextKind


@dataclass(frozen=True)
class BoxRecall:
    """Yields macc1 and macc5 for each K of `at`: the share of a class's boxes whose class is among
    the first K, the mean over the classes that have boxes (CLIPSelf's mAcc)."""

    kind: TextKind = "region"
    at: tuple[int, ...] = (1, 5)

    def __call__(self, data: Boxes, encoder: Encoder) -> list[Figure]:
        """Returns the figures."""
        ranks = rank_boxes(data, self.kind, encoder)
        numbers, which = np.unique(ranks.answers, return_inverse=True)
        image = np.repeat(np.arange(len(ranks.counts)), ranks.counts)
        shape = (len(ranks.counts), len(numbers))
        boxes = np.zeros(shape)
        np.add.at(boxes, (image, which), 1)
        found = []
        for k in self.at:
            right, published = np.zeros(shape), np.zeros(shape)
            np.add.at(right, (image, which), ranks.strict < k)
            np.add.at(published, (image, which), ranks.order < k)
            whole = np.ones(len(boxes))
            interval = of_weights(len(boxes), partial(_mean, right, boxes))
            found.append(
                figure(
                    f"macc{k}", _mean(right, boxes, whole), interval, len(numbers), "classes",
                    _mean(published, boxes, whole),
                )
            )  # fmt: skip
        return found


def _mean(
    right: NDArray[np.float64], boxes: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Returns the mean share of (images, classes) `right` in `boxes`, images by `weights`."""
    hits, count = weights @ right, weights @ boxes
    return float(np.mean(hits[count > 0] / count[count > 0]))
