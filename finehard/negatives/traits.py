"""Traits of a text by which a negative can be recognised without the picture.

Words with their neighbours and letters; each attribute word with its noun and the noun's classes in
WordNet; how common a word is, how likely of its object, and how often the text repeats it.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from finehard.article import article
from finehard.negatives.heads import Word, words
from finehard.negatives.kinds import SHADES, attributes_of
from finehard.negatives.plausible import colors, materials
from finehard.negatives.typical import commonness, typical_color, typical_material
from finehard.phrases.lexicon import broader, category, reading

_ATTRIBUTES = ("color", "material", "pattern", "shape", "count", "size", "state", "action",
               "position")  # fmt: skip
NUMBERS = ("commonness", "taggings", "unlikely material", "unlikely colour", "said again",
           "different colours", "shades", "wrong articles", "words", "letters",
           "plain colours", "typical material", "typical colour")  # fmt: skip
"""Names of the numbers of `Traits.numbers`, in order."""


class Traits(NamedTuple):
    """What is seen in a text: `names` are present, `numbers` measured (`NUMBERS`)."""

    names: tuple[str, ...]
    numbers: tuple[float, ...]


class _Stretch(NamedTuple):
    attribute: str
    words: str
    last: str
    head: str


def traits(text: str) -> Traits:
    """Returns the traits of `text`."""
    found = words(text)
    stretches = _stretches(found)
    names = set(_of_words([word.lower for word in found]))
    for place, stretch in enumerate(stretches):
        names.update(_of_stretch(stretch))
        for other in stretches[:place]:
            first, second = sorted((stretch.words, other.words))
            names.add(f"both {first} + {second}")
    return Traits(tuple(sorted(names)), _numbers(text, found, stretches))


def _of_words(lower: list[str]) -> list[str]:
    around = ["<", *lower, ">"]
    names = [f"word {word}" for word in lower]
    names += [f"words {a} {b}" for a, b in zip(around, around[1:], strict=False)]
    names += [f"words {a} {b} {c}" for a, b, c in zip(around, around[1:], around[2:], strict=False)]
    for word in set(lower):
        names += _letters(word)
    return names


@lru_cache(20_000)
def _letters(word: str) -> tuple[str, ...]:
    marked = f"<{word}>"
    return tuple(f"letters {marked[n : n + size]}" for size in (3, 4)
                 for n in range(len(marked) - size + 1))  # fmt: skip


def _stretches(found: tuple[Word, ...]) -> list[_Stretch]:
    stretches = []
    shades: list[str] = []
    for place, word in enumerate(found):
        known = attributes_of(word.lower)
        if word.lower in SHADES:
            shades.append(word.lower)
            continue
        if known and not word.head:
            attribute = next(a for a in _ATTRIBUTES if a in known)
            phrase = " ".join([*shades, word.lower])
            stretches.append(_Stretch(attribute, phrase, word.lower, _noun(found, place)))
        shades.clear()
    return stretches


def _noun(found: tuple[Word, ...], place: int) -> str:
    group = found[place].group
    after = (word.lower for word in found[place:] if word.head and word.group == group)
    before = (word.lower for word in reversed(found[:place]) if word.head)
    return next(after, None) or next(before, "")


def _of_stretch(stretch: _Stretch) -> list[str]:
    attribute, phrase, last, head = stretch
    names = [f"{attribute} {phrase}", f"{attribute} {phrase} of {head}"]
    for kind in _classes(head):
        names += [f"{attribute} {phrase} of any {kind}", f"{attribute} {last} of any {kind}"]
    return names


@lru_cache(20_000)
def _classes(head: str) -> tuple[str, ...]:
    lemma = reading(head).noun or head
    return tuple(dict.fromkeys((lemma, *broader(lemma)[:3], f"category {category(lemma)}")))


@lru_cache(20_000)
def _taggings(word: str) -> float:
    read = reading("gray" if word == "grey" else word)
    return math.log1p(read.adj_count + read.noun_count)


@lru_cache(20_000)
def _unlikely(attribute: str, word: str, head: str) -> bool:
    if attribute == "material":
        offered = materials(head, word)
        return bool(offered) and word not in (*offered, "wooden")
    return word not in colors(head) and "gray" not in (word, word.replace("e", "a"))


def _numbers(text: str, found: tuple[Word, ...], stretches: list[_Stretch]) -> tuple[float, ...]:
    repeated = Counter(stretch.last for stretch in stretches)
    hues = {stretch.last for stretch in stretches if stretch.attribute == "color"}
    lower = [word.lower for word in found]
    wrong = sum(
        a in ("a", "an") and b[0].isalpha() and article(b) != a
        for a, b in zip(lower, lower[1:], strict=False)
    )
    return (
        sum(commonness(stretch.last) for stretch in stretches),
        sum(_taggings(stretch.last) for stretch in stretches),
        float(sum(s.attribute == "material" and _unlikely(*_key(s)) for s in stretches)),
        float(sum(s.attribute == "color" and _unlikely(*_key(s)) for s in stretches)),
        float(sum(count - 1 for count in repeated.values())),
        float(len(hues)),
        float(sum(word in SHADES for word in lower)),
        float(wrong),
        float(len(found)),
        len(text) / 5,
        float(sum(s.words == s.last for s in stretches if s.attribute == "color")),
        sum(typical_material(s.last, s.head) for s in stretches if s.attribute == "material"),
        sum(typical_color(s.last, _material(s, stretches), s.head)
            for s in stretches if s.attribute == "color"),
    )  # fmt: skip


def _material(color: _Stretch, stretches: list[_Stretch]) -> str:
    """Returns the material of the thing that has a colour; "" if the text gives none."""
    of = (s.last for s in stretches if s.attribute == "material" and s.head == color.head)
    return next(of, "")


def _key(stretch: _Stretch) -> tuple[str, str, str]:
    return stretch.attribute, stretch.last, stretch.head
