"""Applies a swap to a text, and the rules that the result must pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from finehard.article import article
from finehard.negatives.relations import related, too_close
from finehard.phrases.lexicon import reading
from finehard.records import HardNegative, one_line


class Swap(NamedTuple):
    """`original`, a word or phrase of a text, to be replaced by another of the same `attribute`."""

    attribute: str
    original: str
    replacement: str


_PUNCTUATION = ".,;:!?\"'"
_WORD = re.compile(r"\S+")
_ARTICLE_BEFORE = re.compile(r"(?<!\S)(an?)(\s+)$", re.IGNORECASE)
_AFTER_THE_NOUN = re.compile(
    "about|above|across|against|along|among|around|at|behind|below|beneath|beside|between|by|for|"
    "from|in|inside|into|near|next|of|off|on|onto|out|outside|over|past|that|through|to|towards?|"
    "under|underneath|upon|wearing|which|who|with|within|without"
)
"""Words that begin a modifier after the noun ("a bag with two buckles")."""


def check(text: str, swap: Swap, kept: Sequence[HardNegative]) -> HardNegative | str:
    """Returns the hard negative that `swap` makes of `text`, or the name of the rule it breaks.

    The two differ only in the replaced words, and in "a" or "an" before them where needed.
    """
    original, replacement = _without_common_words(_clean(swap.original), _clean(swap.replacement))
    if not replacement or normal(replacement) == normal(original):
        return "no_change"
    if not any(c.isalnum() for c in replacement):
        return "not_words"
    spans = _spans(text, original)
    if not spans:
        return "original_not_in_text"
    if len(spans) > 1:
        return "original_twice_in_text"
    [(start, end)] = spans
    if any(start < noun_end and end > noun for noun, noun_end in _nouns(text)):
        return "changes_the_noun"
    if _spans(text, replacement) or _repeats_neighbour(text[:start], replacement, text[end:]):
        return "already_in_text"
    if close := too_close(original, replacement):
        return close
    if _changes_number(original, replacement):
        return "number_disagrees"
    if _implied_elsewhere(text[:start] + " " + text[end:], replacement):
        return "said_of_another_word"
    if text[start].isupper():
        replacement = replacement[0].upper() + replacement[1:]
    elif swap.original.lstrip()[
        :1
    ].isupper():  # "Red" for "red" in the text: capitalised as a list item
        replacement = replacement[0].lower() + replacement[1:]
    made = _join(text[:start], replacement) + text[end:]
    if normal(made) == normal(text):
        return "no_change"
    if normal(made) in {normal(negative.text) for negative in kept}:
        return "duplicate"
    return HardNegative(made, swap.attribute, text[start:end], replacement)


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


def _clean(words: str) -> str:
    return one_line(words).strip(_PUNCTUATION + " ")


def _without_common_words(original: str, replacement: str) -> tuple[str, str]:
    """Returns both without their common first and last words: "red mug", "blue mug"."""
    old, new = original.split(), replacement.split()
    while len(old) > 1 and len(new) > 1 and old[-1].lower() == new[-1].lower():
        old, new = old[:-1], new[:-1]
    articles = ("a", "an")
    while (
        len(old) > 1
        and len(new) > 1
        and (
            old[0].lower() == new[0].lower()
            or old[0].lower() in articles
            and new[0].lower() in articles
        )
    ):
        old, new = old[1:], new[1:]
    return " ".join(old), " ".join(new)


@lru_cache(1024)
def _spans(text: str, words: str) -> list[tuple[int, int]]:
    """Returns the spans of `words` in `text`, as whole words and ignoring case."""
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    if not pattern:
        return []
    return [m.span() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)]


@lru_cache(1024)  # called for each swap of a text
def _nouns(text: str) -> list[tuple[int, int]]:
    """Returns the spans of the nouns: the last word, and the word before "with ...", "in ..."."""
    words = [m.span() for m in _WORD.finditer(text) if any(c.isalnum() for c in m[0])]
    plain = [text[start:end].lower().strip(_PUNCTUATION) for start, end in words]
    modifier = next(
        (n for n, word in enumerate(plain) if n and _AFTER_THE_NOUN.fullmatch(word)), None
    )
    return [*words[-1:], *([words[modifier - 1]] if modifier else [])]


def _repeats_neighbour(before: str, replacement: str, after: str) -> bool:
    """Whether the replacement would repeat the word before or after it."""
    last, following = before.lower().split()[-1:], after.lower().split()[:1]
    new = replacement.lower().split()
    return (bool(last) and last == new[:1]) or (bool(following) and following == new[-1:])


_ONE = frozenset(["a", "an", "one", "single"])
_MANY = frozenset(
    [
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "several",
        "many",
        "multiple",
        "both",
        "few",
        "some",
        "numerous",
        "various",
    ]
)


def _changes_number(original: str, replacement: str) -> bool:
    """Whether the swap changes between singular and plural, with which other words must agree.

    Holds for numbers ("one", "two") and for nouns ("strap", "buckles").
    """
    old, new = original.lower().split(), replacement.lower().split()
    if any(
        set(one) & _ONE and set(other) & _MANY and not set(one) & _MANY
        for one, other in ((old, new), (new, old))
    ):
        return True
    first, second = _is_plural(old[-1]), _is_plural(new[-1])
    return first is not None and second is not None and first != second


@lru_cache(4096)
def _is_plural(word: str) -> bool | None:
    """Returns whether a noun is plural; None for words that are not only nouns."""
    read = reading(word)
    if not read.noun or read.adj or read.verb or read.adv:
        return None
    return read.plural


def _implied_elsewhere(rest: str, replacement: str) -> bool:
    """Whether another word of the text implies the replacement ("a tiny red mug": small)."""
    new = replacement.lower().split()
    if len(new) != 1:
        return False
    words = {word.strip(_PUNCTUATION).lower() for word in rest.split()}
    return any(related(word, new[0]) for word in words if word.isalpha() and len(word) > 2)


def _join(before: str, replacement: str) -> str:
    """Returns `before` + `replacement`, with an article at the end of `before` made to agree."""
    match = _ARTICLE_BEFORE.search(before)
    if not match:
        return before + replacement
    chosen = article(replacement)
    chosen = chosen.capitalize() if match[1][0].isupper() else chosen
    return before[: match.start()] + chosen + match[2] + replacement
