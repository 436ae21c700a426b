"""The second attacker finds planted leaks of several kinds, and says when items are too few."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from finehard.audit.interval import verdict, wilson
from finehard.audit.item import Item
from finehard.audit.ranker import Ranker

COLORS = [
    "red",
    "blue",
    "green",
    "white",
    "black",
    "orange",
    "pink",
    "brown",
    "gray",
    "purple",
    "yellow",
]
SOFT, HARD = ("leather", "cotton", "velvet", "wool"), ("metal", "plastic", "glass", "wooden")
CLOTHES, TOOLS = ("jacket", "belt", "coat", "hat", "glove"), ("mug", "lamp", "table", "bowl", "jar")
PLACES = [f"{a} {b}" for a in ("old", "new", "wide", "low") for b in ("wall", "door", "shelf")]


def _figures(items: list[Item]) -> dict:
    ranker = Ranker()
    for item in items:
        ranker.add(item)
    return ranker.figures()


def _made(count: int, texts: Callable[[random.Random], list[str]]) -> list[Item]:
    chance = random.Random(5)
    items = []
    for number in range(count):
        made = [f"{text} near the {chance.choice(PLACES)}" for text in texts(chance)]
        items.append(Item(f"image {number}", tuple(made), ("color",) * (len(made) - 1)))
    return items


def _fair(chance: random.Random) -> list[str]:
    thing = chance.choice(TOOLS)
    return [f"a {color} {thing}" for color in chance.sample(COLORS, 5)]


def _implausible(chance: random.Random) -> list[str]:
    """No material is true more often than false; only its noun tells."""
    right, wrong = (SOFT, HARD) if chance.random() < 0.5 else (HARD, SOFT)
    thing = chance.choice(CLOTHES if right is SOFT else TOOLS)
    return [f"a {m} {thing}" for m in (chance.choice(right), *chance.sample(wrong, 3))]


def _longer(chance: random.Random) -> list[str]:
    thing, extra = chance.choice(TOOLS), ["small", "tall", "round", "shiny", "dirty", "broken"]
    colors = chance.sample(COLORS, 4)
    return [
        f"a {colors[0]} {thing}",
        *(f"a {chance.choice(extra)} {c} {thing}" for c in colors[1:]),
    ]


def _rare(chance: random.Random) -> list[str]:
    thing = chance.choice(TOOLS)
    rare = ["teal", "maroon", "turquoise", "ivory", "lilac", "mauve", "crimson", "scarlet"]
    return [f"a {c} {thing}" for c in (chance.choice(COLORS), *chance.sample(rare, 3))]


def test_fair_texts_are_not_called_leaking() -> None:
    figures = _figures(_made(600, _fair))
    assert figures["verdict"] != "leaks" and figures["chance"] == 0.2


@pytest.mark.parametrize("leak", [_implausible, _longer, _rare])
def test_a_planted_leak_is_detected(leak: Callable[[random.Random], list[str]]) -> None:
    figures = _figures(_made(200, leak))
    assert figures["accuracy"] > 0.7 and figures["verdict"] == "leaks"
    assert figures["attributes"]["color"]["verdict"] == "leaks"


def test_an_unlikely_material_is_named_with_its_noun() -> None:
    figures = _figures(_made(200, _implausible))
    named = [one["trait"] for one in figures["attributes"]["color"]["telling"]]
    assert any(trait.startswith("material ") or "material" in trait for trait in named), named


def test_few_fair_items_are_too_few_to_tell() -> None:
    assert _figures(_made(20, _fair))["verdict"] == "too few to tell"


def test_one_item_is_ranked_at_chance() -> None:
    figures = _figures(_made(1, _fair))
    assert figures["accuracy"] == 0.2 and figures["verdict"] == "too few to tell"


def test_a_text_is_not_known_to_its_model() -> None:
    """Words recur only together with their own text."""
    chance = random.Random(2)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(60)]
    items = [Item(f"i{n}", (words[n // 10], words[n // 10 + 30]), ("other",)) for n in range(300)]
    assert 0.2 < _figures(items)["accuracy"] < 0.8


def test_order_does_not_change_the_sample() -> None:
    items = _made(120, _rare)
    ranked = []
    for some in (items, items[::-1]):
        ranker = Ranker(most=60)
        for item in some:
            ranker.add(item)
        ranked.append(ranker.figures())
    assert ranked[0] == ranked[1] and ranked[0]["items"] == 60


def test_interval_and_verdict_depend_on_the_count() -> None:
    assert wilson(0.5, 0) == (0.0, 1.0)
    low, high = wilson(0.5, 100)
    assert 0.40 < low < 0.41 and 0.59 < high < 0.60
    assert verdict(0.3, 1000, 0.1) == "leaks"
    assert verdict(0.1, 1000, 0.1) == "balanced"
    assert verdict(0.1, 30, 0.1) == "too few to tell"
