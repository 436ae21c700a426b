"""Are two pictures copies of each other? Their thumbnails compared, aligned as their views say.

Hashes alone take pictures of one arrangement for copies. A copy's thumbnail is equal everywhere
but for a shift; where something is another thing, some places differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finehard.curate.fingerprint import THUMBNAIL, Box, scaled, view

_SIDE = 16
_WORST = 0.05
"""The share of places whose difference counts: a thing of 4 % of the picture is seen."""
_STEPS = (0.03, 0.015)
"""By which the sides of a view are moved, as fractions of the picture's side."""

Look = tuple[NDArray[np.uint8], tuple[float, float]]
"""A fingerprint's thumbnail and edges."""


def difference(first: Look, first_view: int, second: Look, second_view: int) -> float:
    """Returns how much a view of one picture differs from one of another: the mean of the worst
    places, in grey levels (0 to 255), a shift by a sixteenth of the side allowed for.

    The second view's sides are moved to where it fits best: crops are seldom exactly the views'.
    """
    shown = _shown(first[0], *view(first[1], first_view))
    box, mirrored = view(second[1], second_view)
    thumbnail = second[0]
    least = float(np.abs(shown - _shown(thumbnail, box, mirrored)).mean())
    for step in _STEPS:
        for side in range(4):
            for way in (-step, step):
                moved = _moved(box, side, way)
                mean = float(np.abs(shown - _shown(thumbnail, moved, mirrored)).mean())
                if mean < least:
                    least, box = mean, moved
    fitted = _shown(thumbnail, box, mirrored)
    places = np.sort(np.maximum(_shifted(shown, fitted), _shifted(fitted, shown)), axis=None)
    return float(places[-int(_WORST * places.size) :].mean())


def _moved(box: Box, side: int, way: float) -> Box:
    sides = list(box)
    sides[side] = min(max(sides[side] + way, 0.0), 1.0)
    return sides[0], sides[1], sides[2], sides[3]


def _shown(thumbnail: NDArray[np.uint8], box: Box, mirrored: bool) -> NDArray[np.float32]:
    """Returns the part of a thumbnail in `box`, (16, 16, 3)."""
    part = Image.fromarray(thumbnail).resize(
        (_SIDE, _SIDE), Image.Resampling.BILINEAR, scaled(box, THUMBNAIL)
    )
    pixels = np.asarray(part, np.float32)
    return pixels[:, ::-1] if mirrored else pixels


def _shifted(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns for each place of `one` the least difference to the places of `other` around it."""
    padded = np.pad(other, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (_SIDE, _SIDE), axis=(0, 1))
    differences = np.abs(around - one.transpose(2, 0, 1)).mean(axis=2)
    least: NDArray[np.float32] = differences.min(axis=(0, 1))
    return least[1:-1, 1:-1]  # what a bar's edge runs through is at the border
