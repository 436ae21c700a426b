"""Number and form: "two mugs", not "one mugs"; "made of wood", not "made of wooden"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from finehard.negatives.heads import Word
from finehard.negatives.listed import listed
from finehard.phrases.lexicon import reading

ONE = listed("a an one single another lone solitary 1")
MANY = listed(
    "two three four five six seven eight nine ten eleven twelve several many multiple both few "
    "some numerous various countless pair couple trio dozen 2 3 4 5 6 7 8 9 10 11 12"
)
_ADJECTIVES = listed("wooden woolen woollen metallic golden silvery tiled knitted crocheted")
"""Materials that cannot stand after "made of"."""
_AGREEING = listed("is are was were has have does do that which who this these it")
"""Words that may agree in number with a noun before them."""


def changes_number(original: str, replacement: str) -> bool:
    """Whether the swap changes between singular and plural, with which other words must agree.

    Holds for numbers ("one", "two") and for nouns ("strap", "buckles").
    """
    old, new = original.split(), replacement.split()
    if any(
        set(one) & ONE and set(other) & MANY and not set(one) & MANY
        for one, other in ((old, new), (new, old))
    ):
        return True
    first, second = _is_plural(old[-1]), _is_plural(new[-1])
    return first is not None and second is not None and first != second


def renumbers(original: str, replacement: str, after: str) -> bool:
    """Whether a swap only counts a noun anew, its number changed: "a red mug", "two red mugs"."""
    old, new = original.lower().split(), replacement.lower().split()
    if len(new) < 2 or not old or _AGREEING.intersection(after.lower().split()):
        return False
    first, second = reading(old[-1]), reading(new[-1])
    if not first.noun or first.noun != second.noun or first.plural == second.plural:
        return False
    counts = ONE if first.plural else MANY - ONE
    given = MANY if first.plural else ONE
    if new[0] not in counts:
        return False
    rest = old[1:] if old[0] in given else old
    more = new[2:] if new[:2] == ["a", "single"] else new[1:]
    return rest[:-1] == more[:-1]


def wrong_form(found: Sequence[Word], inside: Sequence[int], old: str, new: str) -> bool:
    """Whether the replacement's form does not fit its place: a plural before a noun ("dots
    curtain"), an adjective after "made of"."""
    last = new.split()[-1]
    after = inside[-1] + 1
    before_noun = after < len(found) and found[after].group == found[inside[0]].group >= 0
    before_noun = before_noun and found[after].lower.isalnum() and found[after].lower != "and"
    if before_noun:
        return _is_plural(last) is True and not _is_plural(old.split()[-1])
    return last in _ADJECTIVES and old.split()[-1] not in _ADJECTIVES


@lru_cache(4096)
def _is_plural(word: str) -> bool | None:
    """Returns whether a noun is plural; None for words that are not only nouns."""
    read = reading(word)
    if not read.noun or read.adj or read.verb or read.adv:
        return None
    return read.plural
