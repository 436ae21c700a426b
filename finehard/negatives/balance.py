"""Balanced selection: negatives kept so that no word tells a truth from a negative.

A word that is put in as a replacement more often than it is true marks negatives, one that is
true more often marks truths. So all negatives of a dataset are counted by replacement, and truths
by the word replaced, alone and with the words beside it (`tally`, summed up by `merged`); then
each negative is kept with a chance that falls with its word's surplus (`Balance`). This is
adversarial filtering as in SugarCrepe (arXiv 2306.14610), with the blind model's odds in place of
its score. The chance is drawn from a hash, so the choice depends on the data only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from finehard.digest import number

Tally = dict[int, list[int]]
"""Attribute and hash of a word, or of a word and its neighbour -> times replaced, times put in.
An int so that the tally of a bundle is small; see `_places` for how it is put together."""

_ATTRIBUTES = 256

_BUCKETS = 1 << 18
_MOST = 2.0
"""A neighbour makes a negative this much likelier or less likely to be kept at most: the share
that is dropped is set by the words alone."""
_ALONE = 5.0
_BESIDE = 30.0
"""How many truths of average odds are added to each count, so that chance is not fitted."""


def tally(regions: list[dict[str, Any]], into: Tally) -> None:
    """Counts the negatives of a sample's regions (the data contract's JSON) into `into`."""
    for region in regions:
        text = region["short_expr"]
        seen = set()
        for negative in region["hard_negatives"]:
            original = negative["attribute"], negative["original"].lower()
            if original not in seen:
                seen.add(original)
                for place in _places(negative, text, "original"):
                    into.setdefault(place, [0, 0])[0] += 1
            for place in _places(negative, negative["text"], "replacement"):
                into.setdefault(place, [0, 0])[1] += 1


def merged(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    total: Tally = {}
    for one in tallies:
        for place, (true, false) in one.items():
            found = total.setdefault(place, [0, 0])
            found[0] += true
            found[1] += false
    return total


class Balance:
    """Chooses negatives by the tally of the whole dataset.

    At most `per_region` are kept in a region, and about `loss` of all are dropped to balance,
    less where less is enough. With too small a `loss` some imbalance stays.
    """

    def __init__(self, total: Tally, per_region: int, loss: float) -> None:
        self._per_region = per_region
        self._total = total
        sums: dict[int, list[int]] = {}
        alone = [(place, counts) for place, counts in total.items() if place % 2 == 0]
        for place, (true, false) in alone:
            found = sums.setdefault(_attribute(place), [0, 0])
            found[0] += true
            found[1] += false
        self._average = {kind: true / false for kind, (true, false) in sums.items() if false}
        odds: dict[int, list[tuple[float, int]]] = {}
        for place, counts in alone:
            if counts[1]:
                kind = _attribute(place)
                odds.setdefault(kind, []).append((self._alone(place), counts[1]))
        self._scale = _scales({kind: sorted(found) for kind, found in odds.items()}, loss)

    def choose(self, sample: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """The sample with its negatives chosen, in their order, and the texts of those dropped,
        by rule. The sample itself is returned where all are kept."""
        dropped: dict[str, list[str]] = {"balanced_away": [], "over_limit": []}
        regions = []
        for place, region in enumerate(sample["regions"]):
            given = region["hard_negatives"]
            drawn = [number(f"{sample['key']}\n{place}\n{n['text']}") / 2**64 for n in given]
            kept = [k for k, n in enumerate(given) if drawn[k] < self._chance(n)]
            away = set(range(len(given))).difference(kept)
            dropped["balanced_away"] += [given[k]["text"] for k in sorted(away)]
            # divided by its chance, what was drawn is spread evenly among those kept
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
        alone, *beside = _places(negative, negative["text"], "replacement")
        odds = chance = self._alone(alone)
        for place in beside:
            true, false = self._total.get(place, (0, 0))
            # what the neighbour adds to what the word tells
            average = self._average.get(_attribute(alone), 1.0)
            told = (true + _BESIDE * odds) / (false * average + _BESIDE) / odds
            chance *= min(_MOST, max(1 / _MOST, told))
        return min(1.0, self._scale.get(_attribute(alone), 1.0) * chance)

    def _alone(self, place: int) -> float:
        """Odds of a word to be a truth, in those of its attribute's average word."""
        true, false = self._total.get(place, (0, 0))
        average = self._average.get(_attribute(place), 1.0)
        return (true + _ALONE) / (false * average + _ALONE)


def _scales(odds: dict[int, list[tuple[float, int]]], loss: float) -> dict[int, float]:
    """For each attribute what its words' odds are multiplied by to be a chance.

    As low as balances its words (then the one with the highest odds is always kept), but so high
    that no more than `loss` of all negatives are dropped.
    """
    if not odds:
        return {}
    least = {kind: 1 / max(o for o, _ in found) for kind, found in odds.items()}
    everything = sum(count for found in odds.values() for _, count in found)

    def lost(scale: float) -> float:
        return sum(
            count * (1 - min(1.0, max(scale, least[kind]) * o))
            for kind, found in sorted(odds.items())
            for o, count in found
        )

    low, high = 0.0, 1 / min(o for found in odds.values() for o, _ in found)
    if lost(low) > loss * everything:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if lost(middle) > loss * everything else (low, middle)
        low = high
    return {kind: max(low, one) for kind, one in least.items()}


def _attribute(place: int) -> int:
    return place // 2 % _ATTRIBUTES


def _places(negative: dict[str, Any], text: str, which: str) -> list[int]:
    """Where the words `negative[which]` of `text` are counted: alone (even), after the word
    before them, before the word after them (odd)."""
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
