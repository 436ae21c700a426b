"""Hard negatives without a model: attribute words swapped for others of their kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from finehard.digest import number
from finehard.negatives.swap import Swap, pick
from finehard.records import Record

if TYPE_CHECKING:
    from finehard.config import Config

STAGE = "negatives"
VERSION = 1
WORDS = {
    "color": [
        "red",
        "orange",
        "yellow",
        "green",
        "blue",
        "purple",
        "pink",
        "brown",
        "black",
        "white",
        "gray",
    ],
    "pattern": ["striped", "dotted", "checkered", "floral"],
    "material": ["wooden", "metal", "plastic", "glass", "leather", "stone", "paper"],
    "size": ["small", "large"],
    "shape": ["round", "square", "triangular", "oval"],
    "state": ["open", "closed", "empty", "full"],
}
"""Attribute -> words of which none is true where another is."""


def swaps(text: str) -> list[Swap]:
    """Swaps for each attribute word in `text`, attributes by turns, in an order that depends on
    `text` only."""
    found = []
    for attribute, words in WORDS.items():
        for original in (w for w in text.lower().split() if w in words):
            others = [w for w in words if w != original]
            first = number(f"{text} {original}") % len(others)
            turned = others[first:] + others[:first]
            found.append([Swap(attribute, original, other) for other in turned])
    return [swap for turn in zip_longest(*found) for swap in turn if swap is not None]


def lexicon_negatives(config: Config) -> Callable[[Record], Record]:
    """A function that gives each region of a record its hard negatives from the lexicon."""
    most = config.negatives.candidates

    def negatives(record: Record) -> Record:
        dropped: dict[str, list[str]] = {}
        regions = []
        for region in record.regions:
            kept, broken = pick(region.short_expr, swaps(region.short_expr), most)
            for rule, told in broken.items():
                dropped.setdefault(rule, []).extend(told)
            regions.append(replace(region, hard_negatives=tuple(kept)))
        return replace(record, regions=tuple(regions)).dropping(STAGE, dropped)

    return negatives
