"""Applies a swap to a text, and the rules that the result must pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from finehard.article import article
from finehard.negatives.agreement import changes_number, renumbers, wrong_form
from finehard.negatives.attribute import compare
from finehard.negatives.axes import exclude
from finehard.negatives.heads import Word, words
from finehard.negatives.kinds import SHADES, attributes_of
from finehard.negatives.relations import related
from finehard.records import HardNegative, one_line


class Swap(NamedTuple):
    """`original`, a word or phrase of a text, to be replaced by another of the same `attribute`."""

    attribute: str
    original: str
    replacement: str


_PUNCTUATION = ".,;:!?\"'"
_WORD = re.compile(r"\S+")
_ARTICLE_BEFORE = re.compile(r"(?<!\S)(an?)(\s+)$", re.IGNORECASE)
_ARTICLES = ("a", "an")
_SAME = ("near_shade", "synonym")
_PATTERNS = ("pattern", "patterns", "design", "designs", "print", "motif")
_MOST_PLACES = 8
"""Occurrences of the original that are tried."""


class _Place(NamedTuple):
    """A stretch of a text, and what is to stand there instead."""

    start: int
    end: int
    replacement: str


def check(text: str, swap: Swap, kept: Sequence[HardNegative]) -> HardNegative | str:
    """Returns the hard negative that `swap` makes of `text`, or the name of the rule it breaks.

    The two differ only in the replaced words, and in "a" or "an" before them where needed. The
    attribute is computed from the words; that of `swap` is not used. Where the original occurs
    several times, the first place where the swap passes the rules is used; a longer original that
    shares words with its replacement names its place ("white rim", "black rim").
    """
    original, replacement = _clean(swap.original), _clean(swap.replacement)
    if not replacement or normal(replacement) == normal(original):
        return "no_change"
    if not any(c.isalnum() for c in replacement):
        return "not_words"
    if swap.original.lstrip()[:1].isupper():  # capitalised as a list item
        replacement = replacement[0].lower() + replacement[1:]
    spans = _spans(text, original)
    if not spans:
        return "original_not_in_text"
    if len(spans) > 1 and _spans(text, replacement):
        return "ambiguous"
    broken = ""
    for span in spans[:_MOST_PLACES]:
        made = _at(text, span, replacement, kept)
        if not isinstance(made, str):
            return made
        broken = broken or made
    return broken


def pick(
    text: str, swaps: Iterable[Swap], most: int, kept: Sequence[HardNegative] = ()
) -> tuple[list[HardNegative], dict[str, list[str]]]:
    """Returns up to `most` hard negatives of `text`: `kept`, then the valid ones of `swaps`.

    Also returns the refused swaps by the rule they broke, as text.
    """
    picked = list(kept)
    broken: dict[str, list[str]] = {}
    for swap in swaps:
        made = check(text, swap, picked)
        if isinstance(made, str):
            refused = f"{text}: {swap.original} -> {swap.replacement}"
            broken.setdefault(made, []).append(refused)
        elif len(picked) < most:
            picked.append(made)
    return picked, broken


@lru_cache(4096)
def normal(text: str) -> str:
    """Returns `text` normalised for comparison: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", one_line(text)).casefold().split())


def _at(
    text: str, span: tuple[int, int], replacement: str, kept: Sequence[HardNegative]
) -> HardNegative | str:
    """Returns the hard negative with the words at `span` replaced, or the rule that it breaks."""
    if renumbers(text[slice(*span)], replacement, text[span[1] :]):
        attribute, place = "count", _Place(*span, replacement)
        start, end, _ = place
    else:
        place = _without_common_words(text, _Place(*span, replacement))
        start, end, replacement = place
        attribute, rule = _judge(text, place)
        if rule:
            return rule
    if text[start].isupper():
        replacement = replacement[0].upper() + replacement[1:]
    made = _join(text[:start], replacement) + text[end:]
    if normal(made) == normal(text):
        return "no_change"
    if normal(made) in {normal(negative.text) for negative in kept}:
        return "duplicate"
    return HardNegative(made, attribute, text[start:end], replacement)


def _judge(text: str, place: _Place) -> tuple[str, str]:
    """Returns the attribute that the swap changes and the rule that it breaks; one is empty."""
    start, end, replacement = place
    found = words(text)
    inside = [n for n, word in enumerate(found) if word.start < end and word.end > start]
    if not inside or any(found[n].head for n in inside):
        return "", "changes_the_noun"
    old, new = text[start:end].lower(), replacement.lower()
    shade = _shade_before(found, inside[0])
    attribute, rule = compare(f"{shade}{old}", f"{shade}{new}")
    if rule:
        return "", "changes_the_noun" if rule == "not_an_attribute" else rule
    following = found[inside[-1] + 1].lower if inside[-1] + 1 < len(found) else ""
    if attribute == "material" and following in _PATTERNS:
        return "", "other_attribute"
    phrase = _phrase(text, found, inside[0])
    if _spans(phrase, new) or _repeats_neighbour(text[:start], new, text[end:]):
        return "", "already_in_text"
    if changes_number(old, new):
        return "", "number_disagrees"
    if wrong_form(found, inside, old, new):
        return "", "wrong_form"
    if _implied_elsewhere(found, inside, new):
        return "", "said_of_another_word"
    if any(exclude(word, new) and not exclude(word, old) for word in _others(found, inside)):
        return "", "contradicts_another_word"
    return attribute, ""


def _shade_before(found: Sequence[Word], place: int) -> str:
    """Returns the shade that stands before a colour and stays there: "light " before "brown"."""
    before = found[place - 1].lower if place else ""
    colored = "color" in attributes_of(found[place].lower)
    return f"{before} " if before in SHADES and colored else ""


def _phrase(text: str, found: Sequence[Word], place: int) -> str:
    """Returns the noun phrase that a word is a part of; the whole text for a word of none."""
    group = found[place].group
    if group < 0:
        return text
    same = [word for word in found if word.group == group]
    return text[same[0].start : same[-1].end]


def _clean(phrase: str) -> str:
    return one_line(phrase).strip(_PUNCTUATION + " ")


def _without_common_words(text: str, place: _Place) -> _Place:
    """Returns `place` without the first and last words that it shares with its replacement."""
    old = [(m[0].lower(), m.start(), m.end()) for m in _WORD.finditer(text, *place[:2])]
    new = place.replacement.split()
    shorter = min(len(old), len(new))
    last = 0
    while last + 1 < shorter and old[-1 - last][0] == new[-1 - last].lower():
        last += 1
    first = 0
    while first + last + 1 < shorter and _same(old[first][0], new[first].lower()):
        first += 1
    end = len(old) - last - 1
    return _Place(old[first][1], old[end][2], " ".join(new[first : len(new) - last]))


def _same(one: str, other: str) -> bool:
    return one == other or one in _ARTICLES and other in _ARTICLES


@lru_cache(1024)
def _spans(text: str, phrase: str) -> list[tuple[int, int]]:
    """Returns the spans of a phrase in `text`, as whole words and ignoring case."""
    pattern = r"\s+".join(re.escape(word) for word in phrase.split())
    if not pattern:
        return []
    return [m.span() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)]


def _repeats_neighbour(before: str, replacement: str, after: str) -> bool:
    """Whether the replacement would repeat the word before or after it."""
    last, following = before.lower().split()[-1:], after.lower().split()[:1]
    new = replacement.split()
    return (bool(last) and last == new[:1]) or (bool(following) and following == new[-1:])


def _implied_elsewhere(found: Sequence[Word], inside: Sequence[int], new: str) -> bool:
    """Whether another word of the noun phrase implies the replacement ("a tiny red mug": small)."""
    rest = [word for word in _others(found, inside) if word.isalpha() and len(word) > 2]
    return " " not in new and any(related(word, new) in _SAME for word in rest)


def _others(found: Sequence[Word], inside: Sequence[int]) -> list[str]:
    """Returns the other words of the noun phrase, without its head."""
    group = found[inside[0]].group
    if group < 0:
        return []
    near = (word for n, word in enumerate(found) if word.group == group and n not in inside)
    return [word.lower for word in near if not word.head]


def _join(before: str, replacement: str) -> str:
    """Returns `before` + `replacement`, with an article at the end of `before` made to agree."""
    match = _ARTICLE_BEFORE.search(before)
    if not match:
        return before + replacement
    chosen = article(replacement)
    chosen = chosen.capitalize() if match[1][0].isupper() else chosen
    return before[: match.start()] + chosen + match[2] + replacement
