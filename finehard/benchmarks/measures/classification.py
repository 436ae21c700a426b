"""Zero-shot classification of whole images: of one class each, or of any number of classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finehard.benchmarks.benchmark import Figure, figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.interval import of_mean_recall, of_ratio, of_weights
from finehard.benchmarks.items import Classes
from finehard.benchmarks.measures.classes import ClassFeatures, encode_classes
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import TIE, Integers, ranks_of_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Classification:
    """Yields acc1, acc5 and mean_per_class_recall; of a multilabel set mean_average_precision.

    acc5 is left out where there are fewer than five classes.
    """

    kind: TextKind = "short"

    def __call__(self, data: Classes, encoder: Encoder) -> list[Figure]:
        """Returns the figures."""
        classes = encode_classes(data.classes, self.kind, encoder)
        scores, labels = [], []
        strict, order = [], []
        for batch, features in encoder.encode_images(data.items):
            labels += [item.labels for item in batch]
            of_batch = features @ classes.features.T
            if data.multilabel:
                scores.append(of_batch)
            else:
                own = np.array([item.labels[:1] for item in batch])
                strict.append(ranks_of_scores(of_batch, classes.which[own]).strict)
                order.append(ranks_of_scores(of_batch[:, classes.which], own).by_order)
        if data.multilabel:
            return _multilabel(np.concatenate(scores), labels, classes, encoder)
        own = np.array([label[0] for label in labels])
        return _single(np.concatenate(strict), np.concatenate(order), own, classes.which)


def _single(strict: Integers, order: Integers, labels: Integers, which: Integers) -> list[Figure]:
    found = []
    count = len(labels)
    for k in (1, 5) if len(which) >= 5 else (1,):
        right = strict < k
        interval = of_ratio(right, np.ones(count))
        published = float((order < k).mean())
        found.append(figure(f"acc{k}", float(right.mean()), interval, count, "images", published))
    right, merged = strict < 1, which[labels]
    recall, classes = _mean_recall(right, merged)
    published, _ = _mean_recall(order < 1, labels)
    interval = of_mean_recall(right, merged)
    name = "mean_per_class_recall"
    return [*found, figure(name, recall, interval, classes, "classes", published)]


def _mean_recall(right: NDArray[np.bool_], labels: Integers) -> tuple[float, int]:
    """Returns the mean over classes of the share right, and the number of classes with images."""
    count = np.bincount(labels)
    hits = np.bincount(labels, weights=right)
    present = count > 0
    return float((hits[present] / count[present]).mean()), int(present.sum())


def _multilabel(
    scores: NDArray[np.float32],
    labels: list[tuple[int, ...]],
    classes: ClassFeatures,
    encoder: Encoder,
) -> list[Figure]:
    every = np.zeros((len(labels), len(classes.which)), bool)
    for row, numbers in enumerate(labels):
        every[row, list(numbers)] = True
    published = _average_precisions(scores[:, classes.which], every, ties_last=False)
    merged = np.zeros((len(labels), len(classes.features)), bool)
    for number, into in enumerate(classes.which):
        merged[:, into] |= every[:, number]
    present = np.flatnonzero(merged.any(0))
    if len(present) < merged.shape[1]:
        encoder.notes.append(
            f"{merged.shape[1] - len(present)} of {merged.shape[1]} classes have no image and are "
            "left out; as published they count as 0"
        )
    scores, merged = scores[:, present], merged[:, present]
    value = float(np.nanmean(_average_precisions(scores, merged)))
    ordered = _sorted(scores, merged)
    interval = of_weights(len(labels), lambda weights: _weighted(*ordered, weights))
    return [
        figure(
            "mean_average_precision", value, interval, len(labels), "images",
            float(np.nan_to_num(published).mean()),
        )
    ]  # fmt: skip


def _sorted(
    scores: NDArray[np.float32], truth: NDArray[np.bool_], ties_last: bool = True
) -> tuple[Integers, NDArray[np.bool_]]:
    """Returns for each class the images by falling score, (n, c), and whether each is of the class.

    Of equal scores, those of the class come last; without `ties_last`, in the order of the images.
    """
    columns = []
    for column, own in zip(scores.T, truth.T, strict=True):
        if ties_last:
            columns.append(np.lexsort((own, -np.round(column.astype(np.float64) / TIE))))
        else:
            columns.append(np.argsort(-column, kind="stable"))
    order = np.stack(columns, 1)
    return order, np.take_along_axis(truth, order, 0)


def _average_precisions(
    scores: NDArray[np.float32], truth: NDArray[np.bool_], ties_last: bool = True
) -> Floats:
    """Returns (c,) the mean, over a class's images, of the precision at their place; nan where a
    class has none."""
    _, hits = _sorted(scores, truth, ties_last)
    precision = np.cumsum(hits, 0) / np.arange(1, len(hits) + 1)[:, None]
    count = hits.sum(0)
    return np.divide(
        (precision * hits).sum(0), count, where=count > 0, out=np.full(len(count), np.nan)
    )


def _weighted(order: Integers, hits: NDArray[np.bool_], weights: Floats) -> float:
    """Returns the mean of `_average_precisions` with each image there `weights` (n,) times."""
    times = weights[order]
    own = times * hits
    reached = np.cumsum(times, 0)
    precision = np.divide(np.cumsum(own, 0), reached, where=reached > 0, out=np.zeros_like(times))
    count = own.sum(0)
    mean = np.divide(
        (precision * own).sum(0), count, where=count > 0, out=np.full(len(count), np.nan)
    )
    return float(np.nanmean(mean)) if not np.isnan(mean).all() else float("nan")
