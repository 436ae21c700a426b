"""Bootstrap intervals, against plain ones that draw images."""

from __future__ import annotations

import numpy as np
import pytest

from finehard.benchmarks.interval import DRAWS, of_mean_recall, of_ratio, of_weights


def test_share_of_images_is_as_wide_as_its_standard_error() -> None:
    right = np.arange(1000) % 4 == 0
    low, high = of_ratio(right, np.ones(1000))
    assert low < 0.25 < high
    assert (high - low) / 3.92 == pytest.approx(np.sqrt(0.25 * 0.75 / 1000), rel=0.1)


def test_images_are_drawn_with_all_their_texts() -> None:
    """Five captions of an image that are right together tell no more than one."""
    right = np.arange(400) % 2
    one, five = of_ratio(right, np.ones(400)), of_ratio(5 * right, np.full(400, 5))
    assert one == five


def test_ratio_is_that_of_plain_draws() -> None:
    rng = np.random.default_rng(0)
    count = rng.integers(1, 6, 300)
    right = rng.binomial(count, 0.6)
    drawn = rng.integers(0, 300, (4000, 300))
    plain = np.percentile(right[drawn].sum(1) / count[drawn].sum(1), (2.5, 97.5))
    assert of_ratio(right, count) == pytest.approx(plain, abs=0.01)


def test_mean_recall_is_that_of_plain_draws() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 5, 300)
    right = rng.random(300) < 0.2 + 0.1 * classes
    values = []
    for _ in range(2000):
        drawn = rng.integers(0, 300, 300)
        shares = [right[drawn][classes[drawn] == c].mean() for c in np.unique(classes[drawn])]
        values.append(np.mean(shares))
    plain = np.percentile(values, (2.5, 97.5))
    assert of_mean_recall(right, classes) == pytest.approx(plain, abs=0.015)


def test_any_figure_by_weights() -> None:
    right = np.arange(500) % 2
    weighted = of_weights(500, lambda weights: float((weights * right).sum() / weights.sum()))
    assert weighted == pytest.approx(of_ratio(right, np.ones(500)), abs=0.01)


def test_intervals_are_the_same_each_time() -> None:
    right = np.arange(77) % 3 == 0
    assert of_ratio(right, np.ones(77)) == of_ratio(right, np.ones(77))
    assert DRAWS == 1000


def test_all_right_has_no_width() -> None:
    assert of_ratio(np.ones(9), np.ones(9)) == (1.0, 1.0)
