"""Ranks by score, and their ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.benchmarks import ranks as module
from finehard.benchmarks.ranks import distinct, padded, ranks, ranks_of_scores

SCORES = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 3), min_size=width, max_size=width), min_size=1, max_size=6
    )
)


def test_ties_rank_above_in_strict_and_by_place_in_order() -> None:
    scores = np.array([[0.5, 0.5, 0.9, 0.5]], np.float32)
    for own, strict, order in (([0], 3, 1), ([1], 3, 2), ([2], 0, 0), ([0, 3], 2, 1)):
        found = ranks_of_scores(scores, np.array([own + [-1] * (2 - len(own))]))
        assert (found.strict[0], found.by_order[0]) == (strict, order)


@given(SCORES, st.randoms())
def test_ranks_are_those_of_a_stable_sort(rows: list[list[int]], chance: object) -> None:
    scores = np.array(rows, np.float32)
    own = [sorted(chance.sample(range(scores.shape[1]), 1 + chance.randrange(scores.shape[1])))
           for _ in rows]  # type: ignore[attr-defined]  # fmt: skip
    found = ranks_of_scores(scores, padded(own))
    for n, row in enumerate(rows):
        order = sorted(range(len(row)), key=lambda column: -row[column])
        assert found.by_order[n] == min(order.index(column) for column in own[n])
        best = max(row[column] for column in own[n])
        others = [score for column, score in enumerate(row) if column not in own[n]]
        assert found.strict[n] == sum(score >= best for score in others)


def test_ranks_are_the_same_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(50, 8)), rng.normal(size=(70, 8))
    own = rng.integers(0, 70, (50, 1))
    whole = ranks(rows.astype(np.float32), columns.astype(np.float32), own)
    monkeypatch.setattr(module, "_CELLS", 210)
    pieces = ranks(rows.astype(np.float32), columns.astype(np.float32), own)
    assert (whole.strict == pieces.strict).all() and (whole.by_order == pieces.by_order).all()


def test_equal_features_tie_at_any_place_of_a_product() -> None:
    """Products of equal rows may differ in the last bits; they are ties all the same."""
    rng = np.random.default_rng(1)
    row = rng.normal(size=(1, 512)).astype(np.float32)
    row /= np.linalg.norm(row)
    assert ranks(row, np.repeat(row, 33, 0), np.array([[7]])).strict[0] == 32


def test_distinct_texts_and_padding() -> None:
    texts, which = distinct(["b", "a", "b"])
    assert texts == ["b", "a"] and which.tolist() == [0, 1, 0]
    assert padded([[3, 3], [1, 2], []]).tolist() == [[3, -1], [1, 2], [-1, -1]]
