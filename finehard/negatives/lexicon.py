"""Swaps without a model: attribute words replaced by others of the same attribute."""

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
"""Attribute -> mutually exclusive words."""


def swaps(text: str) -> list[Swap]:
    """Returns swaps for each attribute word in `text`, alternating between attributes.

    The order depends only on `text`.
    """
    by_word = []
    for attribute, words in WORDS.items():
        for original in (w for w in text.lower().split() if w in words):
            others = [w for w in words if w != original]
            first = number(f"{text} {original}") % len(others)
            rotated = others[first:] + others[:first]
            by_word.append([Swap(attribute, original, other) for other in rotated])
    return [swap for turn in zip_longest(*by_word) for swap in turn if swap is not None]
