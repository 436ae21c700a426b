"""Hard negatives that swap no attribute: a false detail added, or a relation turned round.

Both are made by rule from a region's short expression. An added object is one that no text of the
image names; a relation is one that excludes its opposite. Whether an addition is false only the
image tells, so verification should not be skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from finehard.article import with_article
from finehard.digest import number
from finehard.negatives.heads import Word, words
from finehard.negatives.listed import listed
from finehard.phrases.lexicon import broader, reading
from finehard.records import HardNegative, Record

MOST = 2
"""Negatives of each kind per region, at most."""
_OBJECTS = tuple(sorted(listed(
    "banana umbrella bicycle teapot guitar cat dog suitcase vase candle basket balloon clock lamp "
    "bucket kite pumpkin violin chair backpack bird helmet bottle book ladder telephone skateboard "
    "hat"
)))  # fmt: skip
"""Objects that are easy to see, so that one that is not named is probably not there."""
_PLACES = ("next to", "in front of", "behind")
_OPPOSITES = {
    "on top of": "under", "in front of": "behind", "to the left of": "to the right of",
    "left of": "right of", "above": "below", "inside": "outside", "over": "under", "on": "under",
}  # fmt: skip
"""Relations and what excludes them. "on" stands last: it is part of others."""
_TURNED = {**_OPPOSITES, **{b: a for a, b in reversed(_OPPOSITES.items())}}
ACTIONS = listed(
    "riding chasing carrying holding pulling pushing kicking following feeding leading"
)
_ROLES = ACTIONS | listed("under behind above below over")
"""Words between two things that hold in one direction only; the first are done by one of them."""
_WHOLE = listed("a an the two three four five some")


def additions(record: Record, text: str) -> list[HardNegative]:
    """Returns texts that say of an object what `text` says, and that another is by it.

    The other is named neither by a text of `record` nor by a word of its classes.
    """
    named = _nouns((record.short_caption, record.long_caption, *_texts(record)))
    drawn = sorted(_OBJECTS, key=lambda noun: number(f"{text} {noun}"))
    fitting = [noun for noun in drawn if named.isdisjoint((noun, *broader(noun)[:2]))]
    made = []
    for noun in fitting[:MOST]:
        place = _PLACES[number(f"place {text} {noun}") % len(_PLACES)]
        longer = f"{text.rstrip(' .')} {place} {with_article(noun)}"
        made.append(HardNegative(longer, "addition", text.rstrip(" ."), longer))
    return made


def relations(text: str) -> list[HardNegative]:
    """Returns texts with a relation replaced by one that excludes it, or with its sides exchanged:
    "a man riding a horse" becomes "a horse riding a man"."""
    made = []
    for old, new in _TURNED.items():
        found = re.search(rf"(?<![\w-]){old}(?= (?:a|an|the|his|her|its|top|two|three)\b)", text)
        if found and new not in text:
            start, end = found.span()
            turned = f"{text[:start]}{new}{text[end:]}"
            made.append(HardNegative(turned, "relation", old, new))
            break
    if exchanged := _exchanged(text):
        made.append(HardNegative(exchanged, "relation", text, exchanged))
    return made[:MOST]


def _exchanged(text: str) -> str:
    """Returns the text with its two things exchanged; "" if it is not of two things."""
    found = words(text)
    between = [n for n, word in enumerate(found) if word.lower in _ROLES]
    if len(between) != 1 or text != text.rstrip(" ."):
        return ""
    place = between[0]
    first, second = found[:place], found[place + 1 :]
    if not (is_one_thing(first) and is_one_thing(second)):
        return ""
    left, right = (text[s[0].start : s[-1].end] for s in (first, second))
    if left.lower() == right.lower():
        return ""
    left, right = exchanged_case(left, right)
    return f"{right} {found[place].lower} {left}"


def exchanged_case(left: str, right: str) -> tuple[str, str]:
    """Returns two phrases that are to be exchanged, the capital of the first given to the other."""
    if not left[0].isupper():
        return left, right
    return left[0].lower() + left[1:], right[0].upper() + right[1:]


def is_one_thing(some: tuple[Word, ...]) -> bool:
    """Whether words are an article, attributes and one noun at the end."""
    heads = [word.head for word in some]
    return len(some) > 1 and some[0].lower in _WHOLE and heads[-1] and sum(heads) == 1


def _texts(record: Record) -> Iterable[str]:
    for region in record.regions:
        yield from (region.short_expr, region.long_expr, region.phrase)


def _nouns(texts: Iterable[str]) -> set[str]:
    """Returns the words of texts and their nouns in the singular."""
    found = {word.lower for text in texts for word in words(text)}
    return found | {noun for word in found if (noun := reading(word).noun)}
