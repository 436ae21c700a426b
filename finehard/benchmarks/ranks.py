"""Ranks by score: a tie is wrong, and beside it the rank that an ordinary sort gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

TIE = 1e-6
"""Scores that differ by no more are equal: products of equal features differ by that much."""
_CELLS = 1 << 24
"""Scores in memory at a time."""


class Ranks(NamedTuple):
    """Ranks from 0 of the best of each row's own columns.

    strict    other columns with an equal score rank above it
    by_order  of columns with an equal score, the first ranks first, as in a stable sort
    """

    strict: Integers
    by_order: Integers


def ranks(rows: NDArray[np.float32], columns: NDArray[np.float32], own: Integers) -> Ranks:
    """Returns the ranks of `own` (n, k), numbers of columns padded with -1, among `columns` (m, d)
    by the score of each of `rows` (n, d). At most 2^24 scores are in memory."""
    height = max(1, _CELLS // max(1, len(columns)))
    parts = [
        ranks_of_scores(rows[start : start + height] @ columns.T, own[start : start + height])
        for start in range(0, len(rows), height)
    ]
    if not parts:
        return Ranks(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Ranks(*(np.concatenate(both) for both in zip(*parts, strict=True)))


def ranks_of_scores(scores: NDArray[np.float32], own: Integers) -> Ranks:
    """Returns the ranks of `own` (n, k) by `scores` (n, m)."""
    valid = own >= 0
    owned = np.where(valid, np.take_along_axis(scores, np.maximum(own, 0), 1), -np.inf)
    best = owned.max(1, keepdims=True)
    near = best - np.float32(TIE)
    strict = (scores >= near).sum(1) - (owned >= near).sum(1)
    first = np.where(owned == best, own, scores.shape[1]).min(1)
    by_order = (scores > best).sum(1)
    tied = scores == best
    for row in np.flatnonzero(tied.sum(1) > 1):
        by_order[row] += int(tied[row, : first[row]].sum())
    return Ranks(strict.astype(np.int64), by_order.astype(np.int64))


def distinct(texts: Iterable[str]) -> tuple[list[str], Integers]:
    """Returns the distinct texts, in order, and for each text its number among them."""
    numbers: dict[str, int] = {}
    which = [numbers.setdefault(text, len(numbers)) for text in texts]
    return list(numbers), np.array(which, np.int64)


def padded(lists: Sequence[Iterable[int]]) -> Integers:
    """Returns lists of numbers as the rows of an array, each number once, padded with -1."""
    once = [list(dict.fromkeys(numbers)) for numbers in lists]
    table = np.full((len(once), max(map(len, once), default=1)), -1, np.int64)
    for row, numbers in enumerate(once):
        table[row, : len(numbers)] = numbers
    return table
