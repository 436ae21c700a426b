"""Bootstrap intervals: what a figure would be on other images of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 1000
SEED = 0
_LOW, _HIGH = 2.5, 97.5


class Interval(NamedTuple):
    """A 95 % interval (percentiles of bootstrap draws)."""

    low: float
    high: float


def of_ratio(right: ArrayLike, count: ArrayLike) -> Interval:
    """Returns the interval of sum(right) / sum(count), both (n,) by image, images drawn anew.

    Images with equal values are drawn together, which is the same and takes no time.
    """
    values = np.stack([np.asarray(right, np.float64), np.asarray(count, np.float64)], 1)
    kinds, times = np.unique(values, axis=0, return_counts=True)
    drawn = _draw(times)
    sums = drawn @ kinds
    nothing = np.full(len(sums), np.nan)
    return _percentiles(np.divide(sums[:, 0], sums[:, 1], where=sums[:, 1] > 0, out=nothing))


def of_mean_recall(right: ArrayLike, classes: ArrayLike) -> Interval:
    """Returns the interval of the mean over classes of the share right; (n,) by image, of one
    class each. Classes that a draw leaves out do not count in it."""
    values = np.stack([np.asarray(classes, np.int64), np.asarray(right, np.int64)], 1)
    kinds, times = np.unique(values, axis=0, return_counts=True)
    drawn = _draw(times)
    numbers, which = np.unique(kinds[:, 0], return_inverse=True)
    member = np.zeros((len(kinds), len(numbers)))
    member[np.arange(len(kinds)), which] = 1
    count, hits = drawn @ member, (drawn * kinds[:, 1]) @ member
    recall = np.divide(hits, count, where=count > 0, out=np.full_like(hits, np.nan))
    return _percentiles(np.nanmean(recall, 1))


def of_weights(images: int, figure: Callable[[NDArray[np.float64]], float]) -> Interval:
    """Returns the interval of any figure: a function of how often each of `images` was drawn."""
    rng = np.random.default_rng(SEED)
    share = np.full(images, 1 / images)
    draws = (rng.multinomial(images, share).astype(np.float64) for _ in range(DRAWS))
    return _percentiles(np.array([figure(weights) for weights in draws]))


def _draw(times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns (DRAWS, kinds): how often images of each kind were drawn."""
    total = int(times.sum())
    rng = np.random.default_rng(SEED)
    return rng.multinomial(total, times / total, size=DRAWS).astype(np.float64)


def _percentiles(values: NDArray[np.float64]) -> Interval:
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"))
    return Interval(*(float(x) for x in np.percentile(values, (_LOW, _HIGH))))
