"""A text-only classifier: naive Bayes over words and pairs of words, cross-validated.

Counts are in hashed tables, one for each fold of texts and of images, so one pass over a dataset of
any size fits the models of all folds and a second pass evaluates them.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from finehard.audit.item import Item

FOLDS = 5
BUCKETS = 1 << 18
SMOOTHING = 0.5
"""Added to each count (Jeffreys prior); gives 0.80 to 0.83 on FG-OVD's easy set."""
_BLOCK = 1 << 20
"""Features that are counted or scored at once."""
_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """The words and punctuation marks of a text in lower case, between marks of start and end."""
    return ["<", *_TOKEN.findall(text.lower()), ">"]


class _Text(NamedTuple):
    """A text to be scored: its number of features, its fold and the fold of its image."""

    features: int
    text_fold: int
    image_fold: int


class BlindClassifier:
    """Counts all items (`count`), is fitted (`fit`), then picks each item's positive (`predict`).

    Only features in which the texts of an item differ are used. A text is scored by two models:
    "apart" was fitted without that text, in any item, and without that image; "seen" was fitted
    without the image but possibly with the text. If texts recur, "seen" shows whether they recur
    as true texts or as negatives.
    """

    def __init__(self) -> None:
        self._counts: np.ndarray = np.zeros((FOLDS, FOLDS, 2, BUCKETS), np.int32)
        self._cells: list[int] = []
        self._names: dict[int, str] = {}
        self._buckets: dict[str, int] = {}
        self._items = self._negatives = 0
        self._features: list[int] = []
        self._texts: list[_Text] = []
        self._attributes: list[tuple[str, ...]] = []
        self._correct = {"apart": 0.0, "seen": 0.0}
        self._full = {"items": 0.0, "apart": 0.0, "seen": 0.0}
        self._chance = 0.0
        self._predicted = 0
        self._pairs: dict[str, list[float]] = {}

    def count(self, item: Item) -> None:
        """Counts the features of an item's texts."""
        image = _fold(item.image)
        for number, (text, features) in enumerate(
            zip(item.texts, self._distinguishing(item), strict=True)
        ):
            cell = (_fold(text) * FOLDS + image) * 2 + (number > 0)
            self._cells += [cell * BUCKETS + feature for feature in features]
        self._items += 1
        self._negatives += len(item.texts) - 1
        if len(self._cells) > _BLOCK:
            self._add_counts()

    def fit(self) -> None:
        """Computes the models from the counts."""
        self._add_counts()
        self._total = self._counts.sum((0, 1))
        by_image = self._total - self._counts.sum(0)
        both = by_image - self._counts.sum(1)[:, None] + self._counts
        self._models = {"apart": self._odds(both), "seen": self._odds(by_image)}
        self._counts = np.zeros(0, np.int32)

    def predict(self, item: Item) -> None:
        """Picks the item's positive, and counts whether the pick is correct."""
        image = _fold(item.image)
        for text, features in zip(item.texts, self._distinguishing(item), strict=True):
            self._features += features
            self._texts.append(_Text(len(features), _fold(text), image))
        self._attributes.append(item.attributes)
        if len(self._features) > _BLOCK:
            self._score()

    def figures(self) -> dict[str, Any]:
        """Shares of items whose positive was picked, with chance; by attribute, the share of
        negatives that score lower than the positive (chance 0.5)."""
        self._score()
        full = int(self._full["items"])
        return {
            "chance": round(self._chance / self._predicted, 4),
            "accuracy": round(self._correct["apart"] / self._predicted, 4),
            "accuracy_texts_seen": round(self._correct["seen"] / self._predicted, 4),
            "eleven_way": {
                "items": full,
                "accuracy": round(self._full["apart"] / full, 4) if full else None,
                "accuracy_texts_seen": round(self._full["seen"] / full, 4) if full else None,
            },
            "attributes": {
                name: {"negatives": int(count), "told_apart": round(apart / count, 4),
                       "told_apart_texts_seen": round(seen / count, 4)}
                for name, (count, apart, seen) in sorted(self._pairs.items())
            },
        }  # fmt: skip

    def telling(self, count: int) -> list[dict[str, Any]]:
        """The `count` most telling words and pairs of words.

        `z` is the distance, in standard errors, of their odds of being in a positive from those
        of all texts; `z` > 0 indicates a positive.
        """
        true, false = self._total.astype(float)
        spread = np.sqrt(1 / (true + 0.5) + 1 / (false + 0.5))
        odds = np.log((true + 0.5) / (false + 0.5)) + math.log(self._negatives / self._items)
        z = np.where(true + false > 0, odds / spread, 0)
        order = np.argsort(-np.abs(z), kind="stable")[:count]
        return [
            {"words": self._names[n], "positives": int(true[n]), "negatives": int(false[n]),
             "z": round(float(z[n]), 1)}
            for n in map(int, order) if z[n]
        ]  # fmt: skip

    def _distinguishing(self, item: Item) -> list[list[int]]:
        """The features of each text of an item, without those that all of them share."""
        of_texts = [self._features_of(text) for text in item.texts]
        shared = set.intersection(*of_texts)
        return [sorted(features - shared) for features in of_texts]

    def _features_of(self, text: str) -> set[int]:
        words = tokens(text)
        known, bucket = self._buckets, self._bucket
        features = set()
        for word in words[1:-1]:
            features.add(known.get(word) or bucket(word))
        for first, second in zip(words, words[1:], strict=False):
            pair = f"{first} {second}"
            features.add(known.get(pair) or bucket(pair))
        return features

    def _bucket(self, words: str) -> int:
        if len(self._buckets) > BUCKETS:
            self._buckets.clear()
        bucket = self._buckets[words] = crc32(words.encode("utf-8", "replace")) % BUCKETS
        self._names[bucket] = min(self._names.get(bucket, words), words)
        return bucket

    def _add_counts(self) -> None:
        flat = self._counts.reshape(-1)
        cells, times = np.unique(np.array(self._cells, np.int64), return_counts=True)
        flat[cells] += times.astype(np.int32)
        self._cells.clear()

    def _odds(self, counts: np.ndarray) -> np.ndarray:
        """Log odds of positive against negative: (..., 2, buckets) -> (..., buckets)."""
        ratio = self._negatives / self._items
        true = np.log(counts[..., 0, :] + SMOOTHING)
        return (true - np.log((counts[..., 1, :] + SMOOTHING * ratio) / ratio)).astype(np.float32)

    def _score(self) -> None:
        if not self._attributes:
            return
        texts = np.array(self._texts, np.int64)
        owner = np.repeat(np.arange(len(texts)), texts[:, 0])
        features = np.array(self._features, np.int64)
        text, image = texts[owner, 1], texts[owner, 2]
        scores = {}
        for name, model in self._models.items():
            odds = model[text, image, features] if name == "apart" else model[image, features]
            scores[name] = np.bincount(owner, odds, len(texts))
        start = 0
        for attributes in self._attributes:
            end = start + len(attributes) + 1
            for column, (name, all_scores) in enumerate(scores.items(), 1):
                self._judge(name, column, all_scores[start:end], attributes)
            self._chance += 1 / (end - start)
            self._predicted += 1
            self._full["items"] += end - start == 11
            start = end
        for scored in (self._features, self._texts, self._attributes):
            scored.clear()

    def _judge(self, name: str, column: int, scores: Any, attributes: tuple[str, ...]) -> None:
        tied = np.abs(scores - scores.max()) < 1e-4
        correct = float(tied[0]) / float(tied.sum())
        self._correct[name] += correct
        if len(scores) == 11:
            self._full[name] += correct
        lower = scores[0] - scores[1:]
        won = (lower > 1e-4) + 0.5 * (np.abs(lower) <= 1e-4)
        for attribute, share in zip(attributes, won.tolist(), strict=True):
            pair = self._pairs.setdefault(attribute, [0.0, 0.0, 0.0])
            pair[column] += share
            pair[0] += column == 1


def _fold(text: str) -> int:
    return crc32(b"fold " + text.encode("utf-8", "replace")) % FOLDS
