"""One swap applied to a text, and the rules that it must pass."""

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
    """`original`, a word or phrase of a text and its `attribute`, to be put as `replacement`."""

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
"""Words that begin what is said after an object's noun ("a bag with two buckles")."""


def check(text: str, swap: Swap, kept: Sequence[HardNegative]) -> HardNegative | str:
    """The hard negative that `swap` makes of `text`, or the name of the rule that it breaks.

    The two differ in one stretch: the replacement, with the "a" or "an" before it made to fit.
    """
    original, replacement = _differing(_cleaned(swap.original), _cleaned(swap.replacement))
    if not replacement or normal(replacement) == normal(original):
        return "no_change"
    if not any(c.isalnum() for c in replacement):
        return "not_words"
    places = _places(text, original)
    if not places:
        return "original_not_in_text"
    if len(places) > 1:
        return "original_twice_in_text"
    [(start, end)] = places
    if any(start < noun_end and end > noun for noun, noun_end in _nouns(text)):
        return "changes_the_noun"
    if _places(text, replacement) or _stutters(text[:start], replacement, text[end:]):
        return "already_in_text"
    if close := too_close(original, replacement):
        return close
    if _counts_otherwise(original, replacement):
        return "number_disagrees"
    if _said_elsewhere(text[:start] + " " + text[end:], replacement):
        return "said_of_another_word"
    if text[start].isupper():
        replacement = replacement[0].upper() + replacement[1:]
    elif swap.original.lstrip()[:1].isupper():  # "Red" for the text's "red": a list's capital
        replacement = replacement[0].lower() + replacement[1:]
    made = _with_article(text[:start], replacement) + text[end:]
    if normal(made) == normal(text):
        return "no_change"
    if normal(made) in {normal(negative.text) for negative in kept}:
        return "duplicate"
    return HardNegative(made, swap.attribute, text[start:end], replacement)


def pick(
    text: str, swaps: Iterable[Swap], most: int, kept: Sequence[HardNegative] = ()
) -> tuple[list[HardNegative], dict[str, list[str]]]:
    """Up to `most` hard negatives of `text`: `kept`, then those of `swaps` that pass the checks, in
    order. And what broke each rule, in words."""
    picked = list(kept)
    broken: dict[str, list[str]] = {}
    for swap in swaps:
        made = check(text, swap, picked)
        if isinstance(made, str):
            told = f"{text}: {swap.original} -> {swap.replacement}"
            broken.setdefault(made, []).append(told)
        elif len(picked) < most:
            picked.append(made)
    return picked, broken


@lru_cache(4096)
def normal(text: str) -> str:
    """`text` as it is compared: case, width, composition and white space aside."""
    return " ".join(unicodedata.normalize("NFKC", one_line(text)).casefold().split())


def _cleaned(words: str) -> str:
    return one_line(words).strip(_PUNCTUATION + " ")


def _differing(original: str, replacement: str) -> tuple[str, str]:
    """Both without the words that they begin or end with alike: "red mug", "blue mug"."""
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
def _places(text: str, words: str) -> list[tuple[int, int]]:
    """Where `words` stand in `text` as whole words, case aside."""
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    if not pattern:
        return []
    return [m.span() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)]


@lru_cache(1024)  # a text is looked at once for each of its swaps
def _nouns(text: str) -> list[tuple[int, int]]:
    """The words that must stay: the last one, and the one before "with ...", "in ...", ..."""
    words = [m.span() for m in _WORD.finditer(text) if any(c.isalnum() for c in m[0])]
    plain = [text[start:end].lower().strip(_PUNCTUATION) for start, end in words]
    told = next((n for n, word in enumerate(plain) if n and _AFTER_THE_NOUN.fullmatch(word)), None)
    return [*words[-1:], *([words[told - 1]] if told else [])]


def _stutters(before: str, replacement: str, after: str) -> bool:
    """Whether a word would stand twice running."""
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


def _counts_otherwise(original: str, replacement: str) -> bool:
    """Whether one is a number of one thing and the other of more: the noun after it would need
    another form. Also a noun replaced by one of the other number ("strap", "buckles")."""
    old, new = original.lower().split(), replacement.lower().split()
    if any(
        set(one) & _ONE and set(other) & _MANY and not set(one) & _MANY
        for one, other in ((old, new), (new, old))
    ):
        return True
    first, second = _number(old[-1]), _number(new[-1])
    return first is not None and second is not None and first != second


@lru_cache(4096)
def _number(word: str) -> bool | None:
    """Whether a noun is a plural; None for other words."""
    read = reading(word)
    if not read.noun or read.adj or read.verb or read.adv:
        return None
    return read.plural


def _said_elsewhere(rest: str, replacement: str) -> bool:
    """Whether another word of the text says what the replacement says ("a tiny red mug": small)."""
    new = replacement.lower().split()
    if len(new) != 1:
        return False
    words = {word.strip(_PUNCTUATION).lower() for word in rest.split()}
    return any(related(word, new[0]) for word in words if word.isalpha() and len(word) > 2)


def _with_article(before: str, replacement: str) -> str:
    """`before` and `replacement`, with an "a" or "an" between them as the replacement wants it."""
    found = _ARTICLE_BEFORE.search(before)
    if not found:
        return before + replacement
    wanted = article(replacement)
    wanted = wanted.capitalize() if found[1][0].isupper() else wanted
    return before[: found.start()] + wanted + found[2] + replacement
