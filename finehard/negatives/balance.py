"""Balanced selection: no word alone predicts whether a text is a positive or a negative.

A word used more often as a replacement than in positives gives negatives away, and vice versa. So
the replacements of all negatives of a dataset and the words they replace are counted, alone and
with the words beside them (`tally`, summed by `merged`); then each negative is selected with a
probability that falls with its word's surplus (`Balance`). This is adversarial filtering as in
SugarCrepe (arXiv 2306.14610), with the odds of a text-only model in place of its score. Draws are
hashes, so the selection depends only on the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from finehard.digest import number

Tally = dict[int, list[int]]
"""Key of a word, or of a word and its neighbour -> [times replaced, times used as replacement].
Keys are integers so that a bundle's tally is small; `_keys` makes them."""

_ATTRIBUTES = 256

_BUCKETS = 1 << 18
_MOST = 2.0
"""Limit on the factor by which a neighbour changes the probability of selection: the words alone
determine the fraction that is dropped."""
_ALONE = 5.0
_BESIDE = 30.0
"""Pseudo-counts at average odds against noise, for words (`_ALONE`) and pairs (`_BESIDE`)."""


def tally(regions: list[dict[str, Any]], into: Tally) -> None:
    """Adds the negatives of a sample's regions (the data contract's JSON) to `into`."""
    for region in regions:
        text = region["short_expr"]
        seen = set()
        for negative in region["hard_negatives"]:
            original = negative["attribute"], negative["original"].lower()
            if original not in seen:
                seen.add(original)
                for key in _keys(negative, text, "original"):
                    into.setdefault(key, [0, 0])[0] += 1
            for key in _keys(negative, negative["text"], "replacement"):
                into.setdefault(key, [0, 0])[1] += 1


def merged(tallies: Iterable[Tally]) -> Tally:
    """Returns the sum of `tallies`."""
    total: Tally = {}
    for one in tallies:
        for key, (true, false) in one.items():
            counts = total.setdefault(key, [0, 0])
            counts[0] += true
            counts[1] += false
    return total


class Balance:
    """Selects negatives by the tally of the whole dataset.

    Selects at most `per_region` per region. Balancing drops about a fraction `loss` of all, or less
    if that suffices; too small a `loss` leaves some imbalance.
    """

    def __init__(self, total: Tally, per_region: int, loss: float) -> None:
        self._per_region = per_region
        self._total = total
        sums: dict[int, list[int]] = {}
        alone = [(key, counts) for key, counts in total.items() if key % 2 == 0]
        for key, (true, false) in alone:
            counts = sums.setdefault(_attribute(key), [0, 0])
            counts[0] += true
            counts[1] += false
        self._average = {kind: true / false for kind, (true, false) in sums.items() if false}
        odds: dict[int, list[tuple[float, int]]] = {}
        for key, counts in alone:
            if counts[1]:
                kind = _attribute(key)
                odds.setdefault(kind, []).append((self._odds(key), counts[1]))
        self._scale = _scales({kind: sorted(pairs) for kind, pairs in odds.items()}, loss)

    def choose(self, sample: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Returns the sample with its selected negatives in order, and the dropped texts by rule.

        Returns `sample` itself if nothing was dropped.
        """
        dropped: dict[str, list[str]] = {"balanced_away": [], "over_limit": []}
        regions = []
        for place, region in enumerate(sample["regions"]):
            given = region["hard_negatives"]
            drawn = [number(f"{sample['key']}\n{place}\n{n['text']}") / 2**64 for n in given]
            kept = [k for k, n in enumerate(given) if drawn[k] < self._chance(n)]
            away = set(range(len(given))).difference(kept)
            dropped["balanced_away"] += [given[k]["text"] for k in sorted(away)]
            # divided by its probability, a draw below it is uniform again
            first = sorted(kept, key=lambda k: (drawn[k] / self._chance(given[k]), k))
            kept = sorted(first[: self._per_region])
            dropped["over_limit"] += [given[k]["text"] for k in first[self._per_region :]]
            if len(kept) < len(given):
                region = {**region, "hard_negatives": [given[k] for k in kept]}
            regions.append(region)
        if not any(dropped.values()):
            return sample, {}
        return {**sample, "regions": regions}, dropped

    def _chance(self, negative: dict[str, Any]) -> float:
        alone, *beside = _keys(negative, negative["text"], "replacement")
        odds = chance = self._odds(alone)
        for key in beside:
            true, false = self._total.get(key, (0, 0))
            # the odds of the pair relative to the word's
            average = self._average.get(_attribute(alone), 1.0)
            ratio = (true + _BESIDE * odds) / (false * average + _BESIDE) / odds
            chance *= min(_MOST, max(1 / _MOST, ratio))
        return min(1.0, self._scale.get(_attribute(alone), 1.0) * chance)

    def _odds(self, key: int) -> float:
        """Returns the odds of a word being true, relative to its attribute's average."""
        true, false = self._total.get(key, (0, 0))
        average = self._average.get(_attribute(key), 1.0)
        return (true + _ALONE) / (false * average + _ALONE)


def _scales(odds: dict[int, list[tuple[float, int]]], loss: float) -> dict[int, float]:
    """Returns, for each attribute, the factor that turns its words' odds into probabilities.

    It is the lowest that balances the words (the word with the highest odds is then always
    selected), but high enough that at most a fraction `loss` of all negatives is dropped.
    """
    if not odds:
        return {}
    least = {kind: 1 / max(o for o, _ in pairs) for kind, pairs in odds.items()}
    everything = sum(count for pairs in odds.values() for _, count in pairs)

    def dropped(scale: float) -> float:
        return sum(
            count * (1 - min(1.0, max(scale, least[kind]) * o))
            for kind, pairs in sorted(odds.items())
            for o, count in pairs
        )

    low, high = 0.0, 1 / min(o for pairs in odds.values() for o, _ in pairs)
    if dropped(low) > loss * everything:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if dropped(middle) > loss * everything else (low, middle)
        low = high
    return {kind: max(low, one) for kind, one in least.items()}


def _attribute(key: int) -> int:
    return key // 2 % _ATTRIBUTES


def _keys(negative: dict[str, Any], text: str, which: str) -> list[int]:
    """Returns the keys of the words `negative[which]` of `text`: alone (even), then with the word
    before and with the word after (odd)."""
    kind = crc32(negative["attribute"].encode()) % _ATTRIBUTES * 2
    words = negative[which].lower()
    before, _, after = text.lower().partition(words)
    left, right = before.split()[-1:], after.split()[:1]
    return [
        _bucket(words) + kind,
        _bucket(f"{' '.join(left)} | {words}") + kind + 1,
        _bucket(f"{words} | {' '.join(right)}") + kind + 1,
    ]


def _bucket(words: str) -> int:
    return crc32(words.encode("utf-8", "replace")) % _BUCKETS * 2 * _ATTRIBUTES
