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
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from finehard.digest import number
from finehard.negatives.ranked import Texts, Weights, bucket
from finehard.negatives.traits import traits

MOST = 3000
"""Regions in the sample: fitting takes half a minute, and memory below 0.5 GB."""
LEAST = 50
"""Regions without which nothing is fitted."""
FOLDS = 4
ROUNDS = 4
"""Times that the ranker is fitted; the mean of all is used. One alone is misled by the next: words
that it prefers become those of negatives."""
_LONGEST = 40
"""Negatives of a region that are in the sample."""
_STEPS = 4
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


class Balance:
    """Selects the hard negatives of samples.

    `weights` are those of the rankers by fold; none: the first `per_region` negatives are kept.
    A region whose true text scores higher than its best negative by more than `lead` keeps none.
    """

    def __init__(self, per_region: int, weights: list[Weights], lead: float) -> None:
        self._per_region = per_region
        self._weights = weights
        self._lead = lead

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
            kept = _best(scores, self._per_region)
            dropped["over_limit"] += [t for n, t in enumerate(texts) if n not in kept]
            if kept and true - max(scores[n] for n in kept) > self._lead:
                dropped["balanced_away"] += [texts[n] for n in kept]
                kept = []
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

    As many regions lose their negatives as it takes until a ranker that is fitted to the others is
    right no more often than by chance; but at most a fraction `loss` of all negatives is dropped.
    Those over `per_region` do not count.
    """
    if len(drawn) < LEAST:
        return Balance(per_region, [], np.inf)
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
        kept = self._kept(-np.arange(len(scores), dtype=float))
        total = [Weights(0.0, 0.0)] * FOLDS  # type: ignore[arg-type]
        for turn in range(1, ROUNDS + 1):
            weights = self._fitted(kept)
            total = [Weights(*(a + b for a, b in zip(*two, strict=True)))
                     for two in zip(total, weights, strict=True)]  # fmt: skip
            mean = [Weights(_rounded(w.traits / turn), _rounded(w.numbers / turn)) for w in total]
            scores = self._scores(mean)
            kept = self._kept(scores)
        leads = self._leads(scores, kept)
        return Balance(self._per_region, mean, self._limit(leads, kept, loss))

    def _fitted(self, kept: np.ndarray) -> list[Weights]:
        return [self._texts.fitted(kept & (self._fold != fold)) for fold in range(FOLDS)]

    def _scores(self, weights: list[Weights]) -> np.ndarray:
        """Returns each text's score by the ranker that does not know its image."""
        scores = np.zeros(len(self._fold))
        for fold, one in enumerate(weights):
            here = self._fold == fold
            scores[here] = self._texts.scores(one)[here]
        return scores

    def _kept(self, scores: np.ndarray) -> np.ndarray:
        """Returns a mask of the true texts and of each region's negatives with the best scores."""
        kept = self._texts.true.copy()
        for first, last in zip(self._first, self._last, strict=True):
            best = _best(scores[first + 1 : last].tolist(), self._per_region)
            kept[first + 1 + np.array(best, np.int64)] = True
        return kept

    def _leads(self, scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Returns how much higher each true text scores than its best negative."""
        others = np.where(kept & ~self._texts.true, scores, -np.inf)
        return scores[self._first] - np.maximum.reduceat(others, self._first)

    def _limit(self, leads: np.ndarray, kept: np.ndarray, loss: float) -> float:
        """Returns the lead from which regions are dropped; infinite where none has to be."""
        sizes = np.add.reduceat(kept, self._first) - 1
        order = np.argsort(-leads, kind="stable")
        lost = np.cumsum(sizes[order]) / sizes.sum()

        def limit(share: float) -> float:
            out = int(np.searchsorted(lost, share, "right"))  # regions that may be dropped
            return float(leads[order[out]]) if out < len(order) else -np.inf

        if self._balanced(leads <= np.inf, kept):
            return np.inf
        low, high = 0.0, loss
        if self._balanced(leads <= limit(loss), kept):
            for _ in range(_STEPS):
                middle = (low + high) / 2
                found = self._balanced(leads <= limit(middle), kept)
                low, high = (low, middle) if found else (middle, high)
        return limit(high)

    def _balanced(self, regions: np.ndarray, kept: np.ndarray) -> bool:
        """Whether a ranker fitted to what `regions` keep is right no more often than by chance."""
        kept = kept & regions[self._texts.item]
        leads = self._leads(self._scores(self._fitted(kept)), kept)[regions]
        sizes = np.add.reduceat(kept, self._first)[regions]
        return float(np.mean(leads > 0)) <= float(np.mean(1 / sizes)) if len(sizes) else True


def _best(scores: list[float], most: int) -> list[int]:
    """Returns the places of the `most` highest scores, in order; the first of equal ones."""
    return sorted(sorted(range(len(scores)), key=lambda n: (-scores[n], n))[:most])


def _rounded(weights: np.ndarray) -> np.ndarray:
    return (np.round(weights * _GRAIN) / _GRAIN).astype(np.float32)


def _fold(image: str) -> int:
    return number(f"balance {image}") % FOLDS
