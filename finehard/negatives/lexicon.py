"""Swaps without a model: attribute words for others of their kind."""

from __future__ import annotations

from itertools import zip_longest

from finehard.digest import number
from finehard.negatives.swap import Swap

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
