"""Texts of items as data of a ranker: hashed traits and numbers, fitted and scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

from finehard.negatives.logit import fit
from finehard.negatives.traits import NUMBERS, traits

BUCKETS = 1 << 18


def bucket(name: str) -> int:
    """Returns the column of a trait."""
    return crc32(name.encode("utf-8", "replace")) % BUCKETS


class Weights(NamedTuple):
    """What a text scores for each trait (`BUCKETS`) and for one of each number (`NUMBERS`)."""

    traits: np.ndarray
    numbers: np.ndarray


def no_weights() -> Weights:
    """Returns weights by which all texts score 0."""
    return Weights(np.zeros(BUCKETS), np.zeros(len(NUMBERS)))


class Texts:
    """The texts of all items in a row. The first of each item is its true text.

    Text `owners[n]` has trait `columns[n]`, without those that all texts of its item share.
    `numbers` has a row per text; `item` is its item, `first` the first text of each item, `true`
    whether it is that; `names` has a name for each column.
    """

    def __init__(self, items: Sequence[Sequence[str]]) -> None:
        self.names: dict[int, str] = {}
        columns: list[int] = []
        owners: list[int] = []
        numbers: list[tuple[float, ...]] = []
        for texts in items:
            of_texts = [traits(text) for text in texts]
            shared = set.intersection(*(set(one.names) for one in of_texts))
            for one in of_texts:
                new = [self._column(name) for name in one.names if name not in shared]
                columns += new
                owners += [len(numbers)] * len(new)
                numbers.append(one.numbers)
        sizes = [len(texts) for texts in items]
        self.columns, self.owners = np.array(columns, np.int64), np.array(owners, np.int64)
        self.numbers = np.array(numbers).reshape(-1, len(NUMBERS))
        self.item = np.repeat(np.arange(len(sizes)), sizes)
        self.first = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self.true = np.zeros(len(self.item), bool)
        self.true[self.first] = True

    def _column(self, name: str) -> int:
        column = bucket(name)
        self.names[column] = min(self.names.get(column, name), name)
        return column

    def fitted(self, used: np.ndarray) -> Weights:
        """Returns weights fitted to the texts in the mask `used`, by which true texts score high.

        It must have the true text of each item of which it has any. Traits of a single text are
        left out: they say nothing of others.
        """
        used = used & (np.bincount(self.item, used)[self.item] > 1)
        if not used.any():
            return no_weights()
        known = used[self.owners]
        often = np.bincount(self.columns[known], minlength=BUCKETS) > 1
        known &= often[self.columns]
        row = np.cumsum(used) - 1
        numbers, items = self.numbers[used], self.item[used]
        mean = np.stack([np.bincount(items, column) for column in numbers.T], 1)
        numbers = numbers - (mean / np.maximum(1, np.bincount(items))[:, None])[items]
        spread = numbers.std(0)
        spread[spread == 0] = 1
        weights, rest = fit(self.columns[known], row[self.owners[known]], numbers / spread,
                            items, self.true[used], BUCKETS)  # fmt: skip
        return Weights(weights, rest / spread)

    def scores(self, weights: Weights) -> np.ndarray:
        """Returns each text's score, comparable within an item."""
        scores = np.bincount(self.owners, weights.traits[self.columns], len(self.item))
        return scores + np.einsum("ij,j->i", self.numbers, weights.numbers)
