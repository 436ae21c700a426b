"""A classifier that sees texts only: naive Bayes over words and pairs of words, cross-validated.

Counts are kept in hashed tables for each fold of texts and images, so one pass over a dataset of
any size learns all folds' models, and a second one asks them.
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
"""Added to each count (Jeffreys). With it the audit of FG-OVD's easy set gives 0.80 to 0.83."""
_BLOCK = 1 << 20
"""Features that wait before they are counted or scored."""
_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """The words and punctuation marks of a text in lower case, between marks of its ends."""
    return ["<", *_TOKEN.findall(text.lower()), ">"]


class _Asked(NamedTuple):
    """A text to be scored: how many features, the fold of the text and of its image."""

    features: int
    text_fold: int
    image_fold: int


class Blind:
    """Learns items (`learn`, then `learned`), then guesses each one's positive (`guess`).

    Only what tells texts of an item apart is a feature: what all of them share says nothing. A
    text is scored by a model that learned neither from that text, in any item, nor from that
    image ("apart"), and by one that did not learn from the image but maybe from the text
    ("seen"): where texts recur, the second tells whether they do as truths or as negatives.
    """

    def __init__(self) -> None:
        self._counts: np.ndarray = np.zeros((FOLDS, FOLDS, 2, BUCKETS), np.int32)
        self._places: list[int] = []
        self._names: dict[int, str] = {}
        self._buckets: dict[str, int] = {}
        self._items = self._negatives = 0
        self._features: list[int] = []
        self._texts: list[_Asked] = []
        self._waiting: list[tuple[str, ...]] = []
        self._right = {"apart": 0.0, "seen": 0.0}
        self._full = {"items": 0.0, "apart": 0.0, "seen": 0.0}
        self._chance = 0.0
        self._guessed = 0
        self._pairs: dict[str, list[float]] = {}

    def learn(self, item: Item) -> None:
        """Counts the features of an item's texts."""
        image = _fold(item.image)
        for number, (text, features) in enumerate(zip(item.texts, self._told(item), strict=True)):
            cell = (_fold(text) * FOLDS + image) * 2 + (number > 0)
            self._places += [cell * BUCKETS + feature for feature in features]
        self._items += 1
        self._negatives += len(item.texts) - 1
        if len(self._places) > _BLOCK:
            self._count()

    def learned(self) -> None:
        """Makes the models of what was counted."""
        self._count()
        self._total = self._counts.sum((0, 1))
        by_image = self._total - self._counts.sum(0)
        both = by_image - self._counts.sum(1)[:, None] + self._counts
        self._models = {"apart": self._odds(both), "seen": self._odds(by_image)}
        self._counts = np.zeros(0, np.int32)

    def guess(self, item: Item) -> None:
        """Picks the item's positive, and counts whether that is right."""
        image = _fold(item.image)
        for text, features in zip(item.texts, self._told(item), strict=True):
            self._features += features
            self._texts.append(_Asked(len(features), _fold(text), image))
        self._waiting.append(item.attributes)
        if len(self._features) > _BLOCK:
            self._score()

    def figures(self) -> dict[str, Any]:
        """Shares of items whose positive was picked, against chance; by attribute, the share of
        pairs of positive and negative that were told apart (chance 0.5)."""
        self._score()
        full = int(self._full["items"])
        return {
            "chance": round(self._chance / self._guessed, 4),
            "accuracy": round(self._right["apart"] / self._guessed, 4),
            "accuracy_texts_seen": round(self._right["seen"] / self._guessed, 4),
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
        """The words and pairs of words that tell most, by how many standard errors their odds
        of being in a positive are from those of all texts; `z` > 0 speaks for a positive."""
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

    def _told(self, item: Item) -> list[list[int]]:
        """For each text of an item its features, but for those that all of them have."""
        found = [self._features_of(text) for text in item.texts]
        shared = set.intersection(*found)
        return [sorted(features - shared) for features in found]

    def _features_of(self, text: str) -> set[int]:
        words = tokens(text)
        known, bucket = self._buckets, self._bucket
        found = set()
        for word in words[1:-1]:
            found.add(known.get(word) or bucket(word))
        for first, second in zip(words, words[1:], strict=False):
            pair = f"{first} {second}"
            found.add(known.get(pair) or bucket(pair))
        return found

    def _bucket(self, words: str) -> int:
        if len(self._buckets) > BUCKETS:
            self._buckets.clear()
        bucket = self._buckets[words] = crc32(words.encode("utf-8", "replace")) % BUCKETS
        self._names[bucket] = min(self._names.get(bucket, words), words)
        return bucket

    def _count(self) -> None:
        flat = self._counts.reshape(-1)
        where, times = np.unique(np.array(self._places, np.int64), return_counts=True)
        flat[where] += times.astype(np.int32)
        self._places.clear()

    def _odds(self, counts: np.ndarray) -> np.ndarray:
        """Log odds of positive against negative: (..., 2, buckets) -> (..., buckets)."""
        ratio = self._negatives / self._items
        true = np.log(counts[..., 0, :] + SMOOTHING)
        return (true - np.log((counts[..., 1, :] + SMOOTHING * ratio) / ratio)).astype(np.float32)

    def _score(self) -> None:
        if not self._waiting:
            return
        asked = np.array(self._texts, np.int64)
        owner = np.repeat(np.arange(len(asked)), asked[:, 0])
        features = np.array(self._features, np.int64)
        text, image = asked[owner, 1], asked[owner, 2]
        scores = {}
        for name, model in self._models.items():
            odds = model[text, image, features] if name == "apart" else model[image, features]
            scores[name] = np.bincount(owner, odds, len(asked))
        start = 0
        for attributes in self._waiting:
            end = start + len(attributes) + 1
            for place, (name, all_scores) in enumerate(scores.items(), 1):
                self._judge(name, place, all_scores[start:end], attributes)
            self._chance += 1 / (end - start)
            self._guessed += 1
            self._full["items"] += end - start == 11
            start = end
        for waiting in (self._features, self._texts, self._waiting):
            waiting.clear()

    def _judge(self, name: str, place: int, scores: Any, attributes: tuple[str, ...]) -> None:
        tied = np.abs(scores - scores.max()) < 1e-4
        right = float(tied[0]) / float(tied.sum())
        self._right[name] += right
        if len(scores) == 11:
            self._full[name] += right
        lower = scores[0] - scores[1:]
        won = (lower > 1e-4) + 0.5 * (np.abs(lower) <= 1e-4)
        for attribute, share in zip(attributes, won.tolist(), strict=True):
            pair = self._pairs.setdefault(attribute, [0.0, 0.0, 0.0])
            pair[place] += share
            pair[0] += place == 1


def _fold(text: str) -> int:
    return crc32(b"fold " + text.encode("utf-8", "replace")) % FOLDS
