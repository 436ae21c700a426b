"""Balanced selection: words give negatives away before it, and no longer after it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from finehard.article import with_article
from finehard.audit import audit
from finehard.audit.item import of_samples
from finehard.demo.texts import noun_phrase
from finehard.demo.world import COLORS, KINDS, PATTERNS
from finehard.negatives.balance import Balance, Tally, merged, tally
from finehard.negatives.lexicon import swaps
from finehard.negatives.swap import check
from finehard.records import HardNegative

LOSS = 0.15


def _samples(count: int, never_true: str = "") -> list[dict[str, Any]]:
    """Returns samples with demo phrases and swaps; one swap each to `never_true`, if given."""
    chance = random.Random(3)
    samples = []
    for number in range(count):
        phrase = noun_phrase(chance.choice(COLORS), chance.choice(PATTERNS), chance.choice(KINDS))
        text = with_article(phrase)
        kept: list[HardNegative] = []
        for swap in swaps(text):
            if never_true and not kept:
                swap = swap._replace(replacement=never_true)
            made = check(text, swap, kept)
            if not isinstance(made, str) and len(kept) < 12:
                kept.append(made)
        negatives = [
            {"text": n.text, "attribute": n.attribute, "original": n.original,
             "replacement": n.replacement, "verified": None} for n in kept
        ]  # fmt: skip
        samples.append(
            {"key": f"k{number}", "image": {"sha256": f"i{number}"},
             "regions": [{"short_expr": text, "hard_negatives": negatives}]}
        )  # fmt: skip
    return samples


def _tally(samples: list[dict[str, Any]]) -> Tally:
    total: Tally = {}
    for sample in samples:
        tally(sample["regions"], total)
    return total


def _chosen(samples: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Counter[str]]:
    balance, dropped = Balance(_tally(samples), 10, LOSS), Counter[str]()
    chosen = []
    for sample in samples:
        one, why = balance.choose(sample)
        chosen.append(one)
        dropped.update({rule: len(texts) for rule, texts in why.items()})
    return chosen, dropped


def _count(samples: list[dict[str, Any]]) -> int:
    return sum(len(region["hard_negatives"]) for s in samples for region in s["regions"])


@pytest.mark.parametrize(("never_true", "attribute"), [("", "pattern"), ("teal", "color")])
def test_words_no_longer_give_negatives_away(never_true: str, attribute: str) -> None:
    """In the demo "floral" is never true; "teal" is added as a negative of every region."""
    samples = _samples(5000, never_true)
    chosen, dropped = _chosen(samples)
    before, after = (audit(lambda s=s: of_samples(s)) for s in (samples, chosen))
    assert before["attributes"][attribute]["told_apart"] > 0.55
    assert after["attributes"][attribute]["told_apart"] < 0.53
    assert after["eleven_way"]["accuracy"] <= 0.14
    assert after["accuracy_texts_seen"] <= 0.14
    assert _count(samples) - _count(chosen) == sum(dropped.values())
    # "teal" costs 0.25, more than the loss setting, which does not count neighbours
    assert sum(dropped.values()) <= (0.27 if never_true else 0.2) * _count(samples)


def test_per_region_is_the_maximum() -> None:
    chosen, dropped = _chosen(_samples(300))
    assert max(len(s["regions"][0]["hard_negatives"]) for s in chosen) == 10
    assert dropped["over_limit"] > 0


def test_selection_does_not_depend_on_order_or_sharding() -> None:
    samples = _samples(400)
    whole, reversed_ = _tally(samples), _tally(samples[::-1])
    parts = merged([_tally(samples[300:]), _tally(samples[:100]), _tally(samples[100:300])])
    choices = [
        [Balance(total, 10, LOSS).choose(s)[0] for s in samples]
        for total in (whole, reversed_, parts)
    ]
    assert choices[0] == choices[1] == choices[2]


def test_selected_negatives_are_unchanged_and_in_order() -> None:
    samples = _samples(200)
    for before, after in zip(samples, _chosen(samples)[0], strict=True):
        given = before["regions"][0]["hard_negatives"]
        kept = after["regions"][0]["hard_negatives"]
        assert kept == [n for n in given if n in kept]
        assert {**after, "regions": 0} == {**before, "regions": 0}


def test_sample_with_nothing_dropped_is_returned_itself() -> None:
    sample = {"key": "k", "regions": [{"short_expr": "a mug", "hard_negatives": []}]}
    chosen, dropped = Balance({}, 10, LOSS).choose(sample)
    assert chosen is sample and dropped == {}


def test_zero_loss_drops_almost_nothing() -> None:
    samples = _samples(300, "teal")
    balance = Balance(_tally(samples), 100, 0.0)
    lost = sum(len(balance.choose(s)[1].get("balanced_away", ())) for s in samples)
    assert lost < 0.06 * _count(samples)  # neighbours still have an effect
