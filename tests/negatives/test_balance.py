"""Balanced selection: words and plausibility give negatives away before it, and hardly after it."""

from __future__ import annotations

import json
import math
import pickle
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.article import with_article
from finehard.audit import audit
from finehard.audit.item import of_samples
from finehard.demo.texts import noun_phrase
from finehard.demo.world import COLORS, KINDS, PATTERNS
from finehard.negatives import balance as module
from finehard.negatives.balance import Balance, Drawn, Limits, Sampler, balanced, merged
from finehard.negatives.lexicon import likely_swaps, swaps
from finehard.negatives.swap import check, pick
from finehard.records import HardNegative

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LOSS = 0.15
Sample = dict[str, Any]


def _sample(number: int, text: str, negatives: list[HardNegative]) -> Sample:
    rows = [
        {"text": n.text, "attribute": n.attribute, "original": n.original,
         "replacement": n.replacement, "verified": None} for n in negatives
    ]  # fmt: skip
    return {
        "key": f"k{number}",
        "image": {"sha256": f"i{number}"},
        "regions": [{"short_expr": text, "hard_negatives": rows}],
    }


def _samples(count: int, never_true: str = "") -> list[Sample]:
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
        samples.append(_sample(number, text, kept))
    return samples


def _drawn(samples: list[Sample]) -> list[Drawn]:
    sampler = Sampler()
    return merged([sampler.draw(sample) for sample in samples])


def _chosen(samples: list[Sample], loss: float = LOSS) -> tuple[list[Sample], Counter[str]]:
    balance, dropped = balanced(_drawn(samples), 10, loss), Counter[str]()
    chosen = []
    for sample in samples:
        one, why = balance.choose(sample)
        chosen.append(one)
        dropped.update({rule: len(texts) for rule, texts in why.items()})
    return chosen, dropped


def _count(samples: list[Sample]) -> int:
    return sum(len(region["hard_negatives"]) for s in samples for region in s["regions"])


@pytest.mark.slow
@pytest.mark.parametrize(("never_true", "attribute"), [("", "pattern"), ("teal", "color")])
def test_words_no_longer_give_negatives_away(never_true: str, attribute: str) -> None:
    """In the demo "floral" is never true; "teal" is added as a negative of every region."""
    samples = _samples(800, never_true)
    chosen, dropped = _chosen(samples)
    before, after = (audit(lambda s=s: of_samples(s)) for s in (samples, chosen))
    assert before["attributes"][attribute]["told_apart"] > 0.55
    assert after["attributes"][attribute]["told_apart"] < 0.53
    assert after["eleven_way"]["accuracy"] <= 0.14
    assert after["accuracy_texts_seen"] <= 0.14
    assert _count(samples) - _count(chosen) == sum(dropped.values())
    assert dropped["balanced_away"] <= LOSS * _count(samples)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_plausibility_no_longer_gives_negatives_away() -> None:
    """Real expressions with the lexicon's negatives: by both attackers, and within the loss."""
    rows = (SHARED / "fgovd_easy.jsonl").read_text().splitlines()[:300]
    texts = [json.loads(row)["pos_expression"][0] for row in rows]
    samples = [
        _sample(number, text, pick(text, likely_swaps(text), 12)[0])
        for number, text in enumerate(texts)
    ]
    chosen, dropped = _chosen(samples, 0.3)
    before, after = (audit(lambda s=s: of_samples(s)) for s in (samples, chosen))
    assert before["traits"]["accuracy"] > 0.3
    assert after["traits"]["accuracy"] < 0.25 and after["accuracy"] < 0.25
    assert dropped["balanced_away"] <= 0.3 * 10 * len(samples)


def test_per_region_is_the_maximum() -> None:
    chosen, dropped = _chosen(_samples(100))
    assert max(len(s["regions"][0]["hard_negatives"]) for s in chosen) == 10
    assert dropped["over_limit"] > 0


def test_selection_does_not_depend_on_order_or_sharding() -> None:
    samples = _samples(80)
    whole, reversed_ = _drawn(samples), _drawn(samples[::-1])
    parts = merged([_drawn(samples[60:]), _drawn(samples[:20]), _drawn(samples[20:60])])
    choices = []
    for drawn in (whole, reversed_, parts):
        balance = pickle.loads(pickle.dumps(balanced(drawn, 10, LOSS)))
        choices.append([balance.choose(sample)[0] for sample in samples])
    assert choices[0] == choices[1] == choices[2]


@given(st.lists(st.integers(0, 60), max_size=200), st.integers(1, 5), st.data())
def test_samplers_miss_none_of_the_lowest(regions: list[int], most: int, data: Any) -> None:
    """Wherever regions are drawn, and although some are shown again after a failure."""
    samples = [_sample(n, f"a mug {n}", [HardNegative("b", "color", "a", "b")]) for n in regions]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=4)))
    parts = []
    for start, end in pairwise([0, *cuts, len(samples)]):
        sampler = Sampler(most)
        for sample in samples[start : data.draw(st.integers(start, end))]:
            sampler.draw(sample)
        parts.append([one for sample in samples[start:end] for one in sampler.draw(sample)])
    every = sorted(one for sample in samples for one in Sampler().draw(sample))
    assert sorted(one for part in parts for one in part)[:most] == every[:most]


def test_what_a_sampler_draws_is_bounded() -> None:
    sampler = Sampler(10)
    count = sum(len(sampler.draw(sample)) for sample in _samples(1000))
    assert 10 <= count < 120


def test_selected_negatives_are_unchanged_and_in_order() -> None:
    samples = _samples(80)
    for before, after in zip(samples, _chosen(samples)[0], strict=True):
        given = before["regions"][0]["hard_negatives"]
        kept = after["regions"][0]["hard_negatives"]
        assert kept == [n for n in given if n in kept]
        assert {**after, "regions": 0} == {**before, "regions": 0}


def test_sample_with_nothing_dropped_is_returned_itself() -> None:
    sample = {"key": "k", "image": {"sha256": "i"},
              "regions": [{"short_expr": "a mug", "hard_negatives": []}]}  # fmt: skip
    for balance in (balanced([], 10, LOSS), balanced(_drawn(_samples(60)), 10, LOSS)):
        chosen, dropped = balance.choose(sample)
        assert chosen is sample and dropped == {}


def test_few_regions_lose_none() -> None:
    samples = _samples(module.LEAST - 1)
    assert _chosen(samples)[1]["balanced_away"] == 0


def test_zero_loss_drops_no_region() -> None:
    assert _chosen(_samples(100, "teal"), 0.0)[1]["balanced_away"] == 0


def test_regions_with_a_single_negative_can_be_balanced() -> None:
    samples = _samples(100)
    for sample in samples:
        del sample["regions"][0]["hard_negatives"][1:]
    chosen, _ = _chosen(samples)
    assert _count(chosen) >= (1 - LOSS) * len(samples)


def test_balance_without_weights_keeps_the_first() -> None:
    sample = _samples(1)[0]
    chosen, _ = Balance(3, [], Limits(math.inf, math.inf)).choose(sample)
    kept = chosen["regions"][0]["hard_negatives"]
    assert kept == sample["regions"][0]["hard_negatives"][:3]
