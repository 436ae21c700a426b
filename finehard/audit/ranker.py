"""The second attacker: a conditional logit over the traits of texts, cross-validated.

It works on a sample of bounded size, drawn by hashes: neither order nor sharding changes it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import Any
from zlib import crc32

import numpy as np

from finehard.audit.interval import verdict, wilson
from finehard.audit.item import Item
from finehard.digest import number
from finehard.negatives.ranked import BUCKETS, Texts, Weights, no_weights
from finehard.negatives.traits import NUMBERS

MOST = 1000
"""Items that are ranked at most; 95 % intervals are then at most 0.03 to either side."""
FOLDS = 4
FOLDS_OF_FEW = 10
"""Folds of fewer than `_FEW` items: more of them are left to fit with."""
_FEW = 500
_TELLING = 20
_PER_ATTRIBUTE = 3


class Ranker:
    """Collects items (`add`), then fits and evaluates (`figures`).

    Each text is scored by a model that was fitted without that text, in any item, and without that
    image. Only traits in which an item's texts differ are used.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._heap: list[tuple[int, Item]] = []

    def add(self, item: Item) -> None:
        """Takes an item into the sample if its hash is among the lowest."""
        drawn = -number("\n".join((item.image, *item.texts)))
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (drawn, item))
        elif drawn > self._heap[0][0]:
            heapq.heapreplace(self._heap, (drawn, item))

    def figures(self) -> dict[str, Any]:
        """The share of items whose true text was picked, with its interval, verdict and chance;
        the same by attribute against one negative (chance 0.5); the most telling traits."""
        items = [item for _, item in sorted(self._heap, reverse=True)]
        data = _Data(items)
        data.score()
        picked, chance = data.picked()
        attributes = {
            name: {
                "negatives": negatives,
                **_judged(share, count, 0.5),
                "telling": data.telling(_PER_ATTRIBUTE, name),
            }
            for name, (share, count, negatives) in data.told_apart().items()
        }
        return {
            "chance": round(chance, 4),
            **_judged(picked, len(items), chance),
            "attributes": attributes,
            "telling": data.telling(_TELLING),
        }


def _judged(share: float, count: int, chance: float) -> dict[str, Any]:
    return {
        "items": count,
        "accuracy": round(share, 4),
        "interval": [round(end, 4) for end in wilson(share, count)],
        "verdict": verdict(share, count, chance),
    }


class _Data:
    """The texts of all items in a row, with their folds and scores."""

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self._texts = Texts([item.texts for item in items])
        self._item, self._first = self._texts.item, self._texts.first
        self._folds()

    def _folds(self) -> None:
        """A text that occurs with one image only is in its image's fold: it costs no data."""
        folds = FOLDS_OF_FEW if len(self._items) < _FEW else FOLDS
        first_image: dict[str, str] = {}
        for item in self._items:
            for text in item.texts:
                first_image[text] = min(first_image.get(text, item.image), item.image)
        self._image_fold = np.array([_fold(i.image, folds) for i in self._items])[self._item]
        texts = (text for item in self._items for text in item.texts)
        self._text_fold = np.array([_fold(first_image[text], folds) for text in texts])

    def score(self) -> None:
        """Scores each text by the model that does not know it."""
        self._scores = np.zeros(len(self._item))
        self._weights, self._rest = no_weights()
        pairs = sorted(set(zip(self._text_fold.tolist(), self._image_fold.tolist(), strict=True)))
        for text_fold, image_fold in pairs:
            weights = self._fitted(text_fold, image_fold)
            here = (self._text_fold == text_fold) & (self._image_fold == image_fold)
            self._scores[here] = self._texts.scores(weights)[here]
            self._weights += weights.traits / len(pairs)
            self._rest += weights.numbers / len(pairs)

    def _fitted(self, text_fold: int, image_fold: int) -> Weights:
        """Returns the weights of a model without a fold of texts and a fold of images."""
        used = (self._text_fold != text_fold) & (self._image_fold != image_fold)
        return self._texts.fitted(used & used[self._first][self._item])

    def picked(self) -> tuple[float, float]:
        """Returns the share of items whose true text has the highest score, and chance."""
        picked = chance = 0.0
        for scores in np.split(self._scores, self._first[1:]):
            tied = scores > scores.max() - 1e-6
            picked += float(tied[0] / tied.sum())
            chance += 1 / len(scores)
        return picked / len(self._items), chance / len(self._items)

    def told_apart(self) -> dict[str, tuple[float, int, int]]:
        """Returns, by attribute, the mean over items of the share of negatives that score lower
        than the true text, the number of items, and that of negatives."""
        shares: dict[str, list[float]] = defaultdict(list)
        negatives: dict[str, int] = defaultdict(int)
        for item, scores in zip(self._items, np.split(self._scores, self._first[1:]), strict=True):
            lower = scores[0] - scores[1:]
            won = (lower > 1e-6) + 0.5 * (np.abs(lower) <= 1e-6)
            names = np.array(item.attributes)
            for name in sorted(set(item.attributes)):
                some = won[names == name]
                shares[name].append(float(some.mean()))
                negatives[name] += len(some)
        return {
            name: (float(np.mean(of_items)), len(of_items), negatives[name])
            for name, of_items in sorted(shares.items())
        }

    def telling(self, count: int, attribute: str | None = None) -> list[dict[str, Any]]:
        """Returns the `count` traits that separate true texts from negatives best.

        `weight` is how much a trait raises the score of a true text above that of its negatives,
        as a mean over items; with `attribute`, over the items that have negatives of it.
        """
        side = np.zeros(len(self._item))
        for start, item in zip(self._first.tolist(), self._items, strict=True):
            of = [attribute in (None, name) for name in item.attributes]
            if any(of):
                side[start] = 1
                side[start + 1 : start + 1 + len(of)] = -np.array(of, float) / sum(of)
        items = max(1, int(side[self._first].sum()))
        sides = np.bincount(self._texts.columns, side[self._texts.owners], BUCKETS)
        gains = sides * self._weights / items
        best = np.argsort(-gains, kind="stable")[: 40 * count].tolist()
        found = [(float(gains[n]), self._texts.names[n]) for n in best if gains[n] > 0]
        found = [(gain, name) for gain, name in found if not name.startswith("letters ")]
        found += zip(
            (np.einsum("i,ij->j", side, self._texts.numbers) * self._rest / items).tolist(),
            NUMBERS,
            strict=True,
        )
        found = sorted((one for one in found if one[0] > 5e-4), key=lambda one: (-one[0], one[1]))
        return [{"trait": name, "weight": round(gain, 3)} for gain, name in found[:count]]


def _fold(text: str, folds: int) -> int:
    return crc32(b"rank " + text.encode("utf-8", "replace")) % folds
