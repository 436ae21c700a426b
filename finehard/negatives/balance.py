"""Balanced selection: the text alone should not tell which one is true.

Adversarial filtering as in SugarCrepe (arXiv 2306.14610), within a bounded memory. A ranker that
sees only texts is fitted to a sample of the dataset's regions; then each region keeps the
negatives that the ranker finds most like a true text, and the regions whose true text still stands
out most lose theirs. As words that are true more often than not now stand for negatives too, and
the reverse, the roles of words become alike. The ranker is fitted several times, each time to what
the last one keeps, and no region is judged by a ranker that was fitted to its image. The sample is
drawn by hashes, so the selection depends only on the data.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from finehard.digest import number
from finehard.negatives.ranked import Texts, Weights, bucket, no_weights
from finehard.negatives.traits import traits

MOST = 2000
"""Regions in the sample, at most."""
LEAST = 50
"""Regions without which nothing is fitted."""
FOLDS = 4
ROUNDS = 3
"""Times that the ranker is fitted; the mean of all is used. One alone is misled by the next: words
that it prefers become those of negatives."""
FEWEST = 3
"""Negatives of a region that are dropped only together."""
_MARGIN = 0.02
"""How much better than chance a ranker may be."""
_LONGEST = 40
"""Negatives of a region that are in the sample."""
_STEPS = 3
"""Halvings of the interval in which the share of regions to drop is looked for."""
_GRAIN = 4096.0
"""Weights are multiples of 1/4096, so that a sum of them is the same in any order."""


class Drawn(NamedTuple):
    """A region in the sample: its hash, its image, and its texts, the true one first."""

    hash: int
    image: str
    texts: tuple[str, ...]


class Sampler:
    """Draws the regions whose hashes are lowest.

    A region that is not among the lowest `most` of those seen here is not among those of the
    dataset either, so what one sampler draws grows with the logarithm of what it is shown only.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._highest_first: list[int] = []
        self._low: set[int] = set()

    def draw(self, sample: dict[str, Any]) -> list[Drawn]:
        """Returns the regions of a sample (the data contract's JSON) that may be in the lowest."""
        drawn = []
        image = sample["image"]["sha256"]
        for region in sample["regions"]:
            negatives = [negative["text"] for negative in region["hard_negatives"][:_LONGEST]]
            if not negatives:
                continue
            texts = (region["short_expr"], *negatives)
            one = Drawn(number("\n".join((image, *texts))), image, texts)
            if self._is_low(one.hash):
                drawn.append(one)
        return drawn

    def _is_low(self, hashed: int) -> bool:
        if hashed in self._low:  # equal texts, or shown again after a failure
            return True
        if len(self._low) >= self._most:
            if hashed > -self._highest_first[0]:
                return False
            self._low.remove(-heapq.heappop(self._highest_first))
        heapq.heappush(self._highest_first, -hashed)
        self._low.add(hashed)
        return True


def merged(parts: Iterable[list[Drawn]]) -> list[Drawn]:
    """Returns the `MOST` lowest regions of `parts`, lowest first."""
    return heapq.nsmallest(MOST, (one for part in parts for one in part))


class Limits(NamedTuple):
    """How much higher than its negatives the true text of a region may score.

    By more than `best` above the best one: the region keeps none. By more than `each` above one:
    that is dropped, except for the best `FEWEST`.
    """

    best: float
    each: float


_ALL = Limits(math.inf, math.inf)


class Balance:
    """Selects the hard negatives of samples.

    `weights` are those of the rankers by fold; none: the first `per_region` negatives are kept.
    """

    def __init__(self, per_region: int, weights: list[Weights], limits: Limits) -> None:
        self._per_region = per_region
        self._weights = weights
        self._limits = limits

    def choose(self, sample: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Returns the sample with its selected negatives in order, and the dropped texts by rule.

        Returns `sample` itself if nothing was dropped.
        """
        dropped: dict[str, list[str]] = {"balanced_away": [], "over_limit": []}
        fold = _fold(sample["image"]["sha256"])
        regions = []
        for region in sample["regions"]:
            given = region["hard_negatives"]
            texts = [negative["text"] for negative in given]
            true, *scores = self._scores([region["short_expr"], *texts], fold)
            best = _best(scores, self._per_region)
            kept = _within(best, [true - score for score in scores], self._limits)
            dropped["over_limit"] += [text for n, text in enumerate(texts) if n not in best]
            dropped["balanced_away"] += [texts[n] for n in sorted(set(best) - set(kept))]
            if len(kept) < len(given):
                region = {**region, "hard_negatives": [given[n] for n in kept]}
            regions.append(region)
        if not any(dropped.values()):
            return sample, {}
        return {**sample, "regions": regions}, dropped

    def _scores(self, texts: list[str], fold: int) -> list[float]:
        if not self._weights or len(texts) == 1:
            return [0.0] * len(texts)
        weights = self._weights[fold]
        of_texts = [traits(text) for text in texts]
        shared = set.intersection(*(set(one.names) for one in of_texts))
        return [
            float(weights.traits[[bucket(name) for name in one.names if name not in shared]].sum())
            + float(np.einsum("i,i->", np.array(one.numbers), weights.numbers))
            for one in of_texts
        ]


def balanced(drawn: list[Drawn], per_region: int, loss: float) -> Balance:
    """Returns the balance that a sample of a dataset's regions asks for.

    As many regions lose their negatives as it takes until a ranker that is fitted to the others
    picks true texts no more often than by chance; then as many single negatives as it takes until
    it cannot tell them from true texts one by one. But at most a fraction `loss` of all negatives
    is dropped. Those over `per_region` do not count.
    """
    if len(drawn) < LEAST:
        return Balance(per_region, [], _ALL)
    return _Game(drawn, per_region).balance(loss)


class _Game:
    """The texts of a sample, of which the rankers and the selection take turns."""

    def __init__(self, drawn: list[Drawn], per_region: int) -> None:
        self._per_region = per_region
        self._texts = Texts([one.texts for one in drawn])
        folds = np.array([_fold(one.image) for one in drawn])
        self._fold = folds[self._texts.item]
        self._first = self._texts.first
        self._last = np.r_[self._first[1:], len(self._fold)]

    def balance(self, loss: float) -> Balance:
        """Returns the balance; see `balanced`."""
        scores = np.zeros(len(self._fold))
        total = [no_weights()] * FOLDS
        for turn in range(1, ROUNDS + 1):
            fitted = self._fitted(self._kept(scores, _ALL))
            total = [Weights(a.traits + b.traits, a.numbers + b.numbers)
                     for a, b in zip(total, fitted, strict=True)]  # fmt: skip
            mean = [Weights(*(_rounded(part / turn) for part in one)) for one in total]
            scores = self._scores(mean)
        limits, left = self._lowered("best", _ALL, scores, loss)
        limits, _ = self._lowered("each", limits, scores, left)
        return Balance(self._per_region, mean, limits)

    def _fitted(self, kept: np.ndarray) -> list[Weights]:
        return [self._texts.fitted(kept & (self._fold != fold)) for fold in range(FOLDS)]

    def _scores(self, weights: list[Weights]) -> np.ndarray:
        """Returns each text's score by the ranker that does not know its image."""
        scores = np.zeros(len(self._fold))
        for fold, one in enumerate(weights):
            here = self._fold == fold
            scores[here] = self._texts.scores(one)[here]
        return scores

    def _kept(self, scores: np.ndarray, limits: Limits) -> np.ndarray:
        """Returns a mask of the texts that are kept, true ones too, if texts score `scores`."""
        kept = np.zeros(len(scores), bool)
        for first, last in zip(self._first.tolist(), self._last.tolist(), strict=True):
            some = scores[first + 1 : last].tolist()
            best = _best(some, self._per_region)
            places = _within(best, [scores[first] - score for score in some], limits)
            if places:
                kept[[first, *(first + 1 + place for place in places)]] = True
        return kept

    def _lowered(
        self, name: str, limits: Limits, scores: np.ndarray, loss: float
    ) -> tuple[Limits, float]:
        """Returns `limits` with one lowered until what is kept is balanced, and the loss left.

        It is not lowered further than a fraction `loss` of the negatives allows, nor below 0: a
        text that scores lower than another does not stand out.
        """
        everything = self._kept(scores, _ALL).sum() - len(self._first)
        before = self._kept(scores, limits)
        leads = np.unique(np.r_[0.0, (scores[self._first][self._texts.item] - scores)[before]])
        leads = leads[leads >= 0]

        def kept(place: int) -> np.ndarray:
            return self._kept(scores, limits._replace(**{name: float(leads[place])}))

        def lost(place: int) -> float:
            now = kept(place)
            return float((before & ~now & ~self._texts.true).sum() / everything)

        if len(leads) < 2 or self._balanced(name, before):
            return limits, loss
        low, high = 0, len(leads) - 1
        while low < high:  # the lowest that the loss allows
            middle = (low + high) // 2
            low, high = (low, middle) if lost(middle) <= loss else (middle + 1, high)
        if self._balanced(name, kept(low)):
            high = len(leads) - 1  # nothing is dropped there, and it is not balanced
            for _ in range(_STEPS):
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self._balanced(name, kept(middle)) else (low, middle)
        return limits._replace(**{name: float(leads[low])}), loss - lost(low)

    def _balanced(self, name: str, kept: np.ndarray) -> bool:
        """Whether a ranker fitted to what is kept is hardly better than chance: at picking true
        texts among all (`best`), or at telling them from one negative (`each`)."""
        scores = self._scores(self._fitted(kept))
        leads = scores[self._first][self._texts.item] - scores
        negatives = kept & ~self._texts.true
        sizes = np.add.reduceat(negatives, self._first)
        some = sizes > 0
        if not some.any():
            return True
        if name == "best":
            least = np.minimum.reduceat(np.where(negatives, leads, np.inf), self._first)
            return bool(np.mean(least[some] > 0) <= np.mean(1 / (sizes[some] + 1)) + _MARGIN)
        higher = np.add.reduceat(negatives & (leads > 0), self._first)
        return bool(np.mean(higher[some] / sizes[some]) <= 0.5 + _MARGIN)


def _best(scores: list[float], most: int) -> list[int]:
    """Returns the places of the `most` highest scores, in order; the first of equal ones."""
    return sorted(sorted(range(len(scores)), key=lambda n: (-scores[n], n))[:most])


def _within(best: list[int], leads: list[float], limits: Limits) -> list[int]:
    """Returns those of the places `best` that the limits allow, in order; `leads` has by place how
    much higher than it the true text scores."""
    ranked = sorted(best, key=lambda n: (leads[n], n))
    if not ranked or leads[ranked[0]] > limits.best:
        return []
    return sorted([*ranked[:FEWEST], *(n for n in ranked[FEWEST:] if leads[n] <= limits.each)])


def _rounded(weights: np.ndarray) -> np.ndarray:
    return (np.round(weights * _GRAIN) / _GRAIN).astype(np.float32)


def _fold(image: str) -> int:
    return number(f"balance {image}") % FOLDS
