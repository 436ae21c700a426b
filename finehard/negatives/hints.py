"""The words of a text that a model is asked to replace, and how many replacements each gets.

A small model that is left to choose replaces the names of objects, and writes as many swaps as the
prompt's example has.
"""

from __future__ import annotations

from typing import NamedTuple

from finehard.negatives.attribute import ORDER
from finehard.negatives.heads import words
from finehard.negatives.kinds import SHADES, attributes_of

MOST = {
    "color": 12,
    "material": 12,
    "count": 8,
    "pattern": 6,
    "shape": 6,
    "action": 6,
    "size": 3,
    "state": 3,
    "position": 3,
}
"""Attribute -> about how many words exclude each other there, and more cannot be named."""


class Hint(NamedTuple):
    """A word to replace, the attribute that it tells, and the number of replacements to request."""

    word: str
    attribute: str
    replacements: int


def hints(text: str, count: int) -> list[Hint]:
    """Returns the attribute words of `text` with `count` replacements spread over them, or fewer
    where there are not as many; empty if no such word is known."""
    found = _attribute_words(text)
    counts = dict.fromkeys(found, 0)
    for _ in range(count):
        open_words = [word for word in found if counts[word] < MOST[found[word]]]
        if not open_words:
            break
        counts[min(open_words, key=counts.__getitem__)] += 1
    return [Hint(word, found[word], n) for word, n in counts.items() if n]


def _attribute_words(text: str) -> dict[str, str]:
    """Returns the words that tell an attribute, with it; no names of objects, no prepositions, and
    no shades of a colour ("dark blue")."""
    found: dict[str, str] = {}
    shaded = False
    for word in reversed(words(text)):
        attributes = attributes_of(word.lower)
        if (
            attributes
            and not word.head
            and word.group >= 0
            and not (shaded and word.lower in SHADES)
        ):
            found[word.lower] = min(attributes, key=ORDER.index)
        shaded = "color" in attributes
    return dict(reversed(found.items()))


def line(text: str, count: int) -> str:
    """Returns `text` for a prompt, with its hints: "a red mug | red (color): 12"."""
    asked = [f"{word} ({attribute}): {n}" for word, attribute, n in hints(text, count)]
    return f"{text} | {', '.join(asked) or f'any property: {count}'}"
