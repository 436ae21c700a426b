"""A conditional logit: which text of each item is the true one, by weights of its features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RIDGE = 0.5
"""Strength of the quadratic penalty on a weight; chosen on swaps made of FG-OVD's easy set."""
STEPS = 30
_MEMORY = 8
_ENOUGH = 3e-4
"""Relative gain of a step at which the search ends."""

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def fit(columns: np.ndarray, owners: np.ndarray, dense: np.ndarray, items: np.ndarray,
        true: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Returns weights of the `width` sparse features and of the columns of `dense`.

    Text `owners[n]` has feature `columns[n]`; `dense` has a row per text, `items` its item
    (ascending), `true` whether it is the item's true text. Each item has one.
    """
    used, inverse = np.unique(columns, return_inverse=True)
    first = np.r_[0, np.flatnonzero(np.diff(items)) + 1]
    item = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(items)]))
    target = true.astype(float)
    size = len(used)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        sparse, rest = weights[:size], weights[size:]
        scores = np.bincount(owners, sparse[inverse], len(items)) + np.einsum(
            "ij,j->i", dense, rest
        )
        most = np.maximum.reduceat(scores, first)
        raised = np.exp(scores - most[item])
        sums = np.add.reduceat(raised, first)
        off = raised / sums[item] - target
        loss = np.sum(np.log(sums) + most) - scores[true].sum() + RIDGE / 2 * _dot(weights, weights)
        slope = np.r_[np.bincount(inverse, off[owners], size), np.einsum("ij,i->j", dense, off)]
        return float(loss), slope + RIDGE * weights

    weights = _lowest(objective, np.zeros(size + dense.shape[1]))
    full = np.zeros(width)
    full[used] = weights[:size]
    return full, weights[size:]


def _lowest(objective: Objective, at: np.ndarray) -> np.ndarray:
    """Returns the lowest place of a convex objective by L-BFGS with halved steps."""
    loss, slope = objective(at)
    moves: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(STEPS):
        step = _direction(slope, moves)
        size = 1.0
        while True:
            there = at - size * step
            lower, new = objective(there)
            if lower <= loss - 1e-4 * size * _dot(slope, step) or size < 1e-8:
                break
            size /= 2
        if _dot(new - slope, there - at) > 1e-10:
            moves = [*moves, (there - at, new - slope)][-_MEMORY:]
        gained, loss, at, slope = loss - lower, lower, there, new
        if gained < _ENOUGH * abs(loss):
            break
    return at


def _direction(slope: np.ndarray, moves: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    step = slope.copy()
    parts = []
    for move, change in reversed(moves):
        part = _dot(move, step) / _dot(move, change)
        parts.append(part)
        step -= part * change
    if moves:
        move, change = moves[-1]
        step *= _dot(move, change) / _dot(change, change)
    else:
        step /= np.sqrt(_dot(slope, slope)) + 1e-12
    for (move, change), part in zip(moves, reversed(parts), strict=True):
        step += move * (part - _dot(change, step) / _dot(move, change))
    return step


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the scalar product without BLAS, whose threads cost more than they gain here."""
    return float(np.einsum("i,i->", one, other))
