"""One swap applied to a text, and the rules that it must pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from finehard.records import HardNegative


class Swap(NamedTuple):
    """`original`, a word or phrase of a text and its `attribute`, to be put as `replacement`."""

    attribute: str
    original: str
    replacement: str


def check(text: str, swap: Swap, kept: Sequence[HardNegative]) -> HardNegative | str:
    """The hard negative that `swap` makes of `text`, or the name of the rule that it breaks."""
    original = " ".join(swap.original.split())
    replacement = " ".join(swap.replacement.split()).strip(".,;:!?\"'")
    if not replacement or replacement.lower() == original.lower():
        return "no_change"
    places = _places(text, original)
    if not places:
        return "original_not_in_text"
    if len(places) > 1:
        return "original_twice_in_text"
    start, end = places[0], places[0] + len(original)
    if end >= len(text.rstrip(" .")):
        return "changes_the_noun"  # the head of a short expression stands last
    if _places(text, replacement):
        return "already_in_text"
    if text[start].isupper():
        replacement = replacement[0].upper() + replacement[1:]
    made = _articles(text[:start] + replacement + text[end:])
    if made.lower() in {negative.text.lower() for negative in kept} or made == text:
        return "duplicate"
    return HardNegative(made, swap.attribute, text[start:end], replacement)


def _places(text: str, words: str) -> list[int]:
    """Where `words` stand in `text` as whole words, case aside."""
    text, words = text.lower(), words.lower()
    found, start = [], text.find(words)
    while start >= 0:
        end = start + len(words)
        inside = (text[start - 1 : start] + text[end : end + 1]).replace("_", "a")
        if not any(c.isalnum() for c in inside):
            found.append(start)
        start = text.find(words, start + 1)
    return found


_AN_SOUND = re.compile(r"(?:[aeio]|u(?!ni|se|ti|ra|ko))", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(a|an)(\s+)(?=(\w))", re.IGNORECASE)


def _articles(text: str) -> str:
    """`text` with "a" and "an" as the words after them want it."""

    def mended(match: re.Match[str]) -> str:
        word = text[match.end() :]
        article = "an" if _AN_SOUND.match(word) else "a"
        return (article.capitalize() if match[1][0].isupper() else article) + match[2]

    return _ARTICLE.sub(mended, text)
