"""Swaps without a model: attribute words replaced by others of the same attribute.

Each attribute word of a text is replaced by words that exclude it and that its object can have
(`plausible.py`); a single object that can be counted is also counted anew.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

from finehard.digest import number
from finehard.negatives.axes import others
from finehard.negatives.heads import Word, words
from finehard.negatives.kinds import SHADES, attributes_of, parts
from finehard.negatives.listed import listed
from finehard.negatives.plausible import (
    COLORS,
    HARD,
    SOFT,
    colors,
    container,
    domain,
    materials,
    person,
    young,
)
from finehard.negatives.plural import plural
from finehard.negatives.swap import Swap
from finehard.negatives.typical import commonness, typical_color, typical_material
from finehard.phrases.lexicon import reading

VERSION = 2
NUMBERS = ("two", "three", "four", "five", "six", "seven")
WORDS = {
    "color": COLORS,
    "pattern": ("striped", "dotted", "checkered", "floral"),
    "material": tuple(dict.fromkeys((*HARD, *SOFT))),
    "shape": ("round", "square", "triangular", "rectangular", "hexagonal", "heart-shaped",
              "star-shaped"),
}  # fmt: skip
"""Attribute -> mutually exclusive words; those of other attributes stand on the axes."""
_LONGEST = 3
_MOST_WORDS = 12
"""Attribute words of a text that are swapped: no more, so that long texts take linear time."""
_ATTRIBUTES = ("color", "material", "pattern", "shape", "count", "size", "state", "action",
               "position")  # fmt: skip
_NOT_SWAPPED = listed(
    "rock ice text foam wax on atop upon above over under below beneath underneath behind before "
    "inside outside within near close far"
)
"""Words of an attribute that are often something else: "rock band"; prepositions."""
_AGES = ("old", "young", "older", "younger", "little")
_GENERAL = ("small", "little", "large", "big")
_ALONE = ("a", "an", "one", "single", "another", "lone", "solitary")
"""Words before one object that a number replaces."""
_OWN = ("a", "an", "his", "her", "its")
_REFERS = listed(
    "the this that these those its his her their my your our each every no only other same "
    "remaining additional more of and or left right leftmost rightmost middle center "
    "first second third fourth fifth last final"
)


_SHADED = 0.25
"""How often a shade of a colour is named, relative to the colour itself. A rough estimate."""
_TYPICAL = 4.0
"""How much likelier what is typical is than what is not known to be. A rough estimate."""


class _Thing(NamedTuple):
    """The attribute that is swapped, and the noun and material of what has it; "" if unknown."""

    attribute: str
    head: str
    material: str


Order = Callable[[list[str], str, _Thing], list[str]]
"""Orders replacements, drawn by a text."""


def swaps(text: str) -> list[Swap]:
    """Returns swaps for each attribute word in `text`, alternating between words; then those that
    count an object anew.

    The order depends only on `text`.
    """
    return _swaps(text, _in_turn)


def likely_swaps(text: str) -> list[Swap]:
    """Returns swaps like those of `swaps`, of each word first the likely ones, and shades too.

    Replacements are drawn about as often as such words are true of such objects.
    """
    return _swaps(text, _likely)


def _swaps(text: str, order: Order) -> list[Swap]:
    found = words(text)
    by_word: list[list[Swap]] = []
    place = 0
    while place < len(found) and len(by_word) < _MOST_WORDS:
        size, attribute = _attribute(found, place)
        if attribute:
            by_word.append(_for_word(text, found, place, size, attribute, order))
        place += size
    turns = [swap for turn in zip_longest(*by_word) for swap in turn if swap is not None]
    return turns + _counted(text, found)


def _attribute(found: Sequence[Word], place: int) -> tuple[int, str]:
    """Returns how many words from `place` on are one attribute, and which; "" for none."""
    if found[place].head or found[place].lower in _NOT_SWAPPED:
        return 1, ""
    for size in range(min(_LONGEST, len(found) - place), 0, -1):
        some = found[place : place + size]
        if any(word.head for word in some) or some[0].lower in ("and", "or", ","):
            continue
        split = parts(" ".join(word.lower for word in some))
        if split and len(split) == 1 and (size == 1 or _one(some)):
            return size, next(a for a in _ATTRIBUTES if a in split[0].attributes)
    return 1, ""


def _one(some: Sequence[Word]) -> bool:
    """Whether several words are one: "light brown", "polka dot"; not "black and white"."""
    lower = [word.lower for word in some]
    shaded = all(word in SHADES for word in lower[:-1]) and lower[-1] not in SHADES
    compound = all("color" in attributes_of(word) for word in lower)
    return shaded or compound or bool(attributes_of(" ".join(lower)))


def _for_word(
    text: str, found: Sequence[Word], place: int, size: int, attribute: str, order: Order
) -> list[Swap]:
    """Returns the swaps of the `size` words from `place` on."""
    if place and found[place - 1].lower.endswith("ly") and attribute == "state":
        return []  # "deeply wrinkled"
    start, end = found[place].start, found[place + size - 1].end
    original = text[start:end]
    head = _head(found, place)
    ends = _ends_phrase(found, place + size - 1)
    offered = list(_offered(original.lower(), attribute, head, ends))
    if not offered:
        return []
    material = next((word.lower for word in found if word.group == found[place].group
                     and "material" in attributes_of(word.lower)), "")  # fmt: skip
    offered = order(offered, f"{text} {original.lower()}", _Thing(attribute, head, material))
    if len(re.findall(rf"(?<!\w){re.escape(original)}(?!\w)", text, re.IGNORECASE)) < 2 or ends:
        return [Swap(attribute, original.lower(), one) for one in offered]
    after = text[end : found[place + size].end]
    return [Swap(attribute, f"{original}{after}", f"{one}{after}") for one in offered]


def _in_turn(offered: list[str], drawn_by: str, thing: _Thing) -> list[str]:
    """Returns the replacements from a drawn one on."""
    first = number(drawn_by) % len(offered)
    return offered[first:] + offered[:first]


def _likely(offered: list[str], drawn_by: str, thing: _Thing) -> list[str]:
    """Returns the replacements and shades of colours in a drawn order, by their likelihood."""
    if thing.attribute == "color":
        plain = [color for color in offered if color not in ("black", "white", "light")]
        offered = offered + [f"{shade} {color}" for color in plain for shade in ("dark", "light")]

    def late(word: str) -> float:  # the first of several exponential clocks rings by its rate
        uniform = (number(f"{drawn_by} {word}") + 1) / 2**64
        return -math.log(uniform) / _likelihood(word, thing)

    return sorted(offered, key=late)


def _likelihood(word: str, thing: _Thing) -> float:
    """Returns about how often a word is true of such a thing, relative to others."""
    last = word.rpartition(" ")[2]
    rate = 2.0 ** commonness(last) * (_SHADED if last != word else 1.0)
    if thing.attribute == "material":
        return rate * _TYPICAL ** typical_material(last, thing.head)
    if thing.attribute == "color":
        return rate * _TYPICAL ** typical_color(last, thing.material, thing.head)
    return rate


def _offered(original: str, attribute: str, head: str, ends: bool) -> Sequence[str]:
    """Returns the replacements for a word or phrase of an attribute, of an object `head`."""
    if attribute == "color":
        if original in SHADES:
            return ("light",) if original == "dark" else ()
        grey = "grey" in original
        return [("grey" if c == "gray" and grey else c) for c in colors(head)]
    if attribute == "material":
        return ["wooden" if m == "wood" and not ends else m for m in materials(head, original)]
    if attribute in WORDS:
        return WORDS[attribute]
    if attribute == "count":
        return NUMBERS if original in (*NUMBERS, "eight", "nine", "ten") else ()
    if attribute == "size" and original in _GENERAL and person(head):
        return ()  # a "little girl" is young
    if original in ("empty", "full") and not container(head) or original in _AGES and young(head):
        return ()
    return [one for one in others(original, attribute, domain(head)) if one not in _NOT_SWAPPED]


def _head(found: Sequence[Word], place: int) -> str:
    """Returns the noun that a word describes: the next head, or the one before "made of"."""
    group = found[place].group
    after = (word.lower for word in found[place:] if word.head and word.group == group)
    before = (word.lower for word in reversed(found[:place]) if word.head)
    return next(after, None) or next(before, "")


def _ends_phrase(found: Sequence[Word], place: int) -> bool:
    """Whether no word of its phrase follows the one at `place`."""
    return place + 1 == len(found) or found[place + 1].group != found[place].group


def _counted(text: str, found: Sequence[Word]) -> list[Swap]:
    """Returns swaps of one object for several, if the text begins with it.

    None the other way: the box of "chairs" may hold one of them.
    """
    first = next((n for n, word in enumerate(found) if word.head), None)
    if first is None:
        return []
    described = [word.lower for word in found[:first]]
    given = 1 if described[:1] and described[0] in _ALONE else 0
    if not all(_describes(word) for word in described[given:]):
        return []
    after = [word.lower for word in found[first + 1 :]]
    if any(b in _OWN and a != "of" for a, b in pairwise(["", *after])):
        return []  # "a man in a coat"
    noun = found[first].lower
    start = found[given].start
    original = text[found[0].start : found[first].end]
    rest = text[start : found[first].start]
    rest = rest[:1].lower() + rest[1:]
    if many := plural(noun):
        return [Swap("count", original, f"{count} {rest}{many}") for count in NUMBERS[:5]]
    return []


def _describes(word: str) -> bool:
    """Whether a word before a noun leaves it free to be counted anew: no number, no side, no name,
    nothing that refers to other objects."""
    read = reading(word)
    known = read.noun or read.adj or read.verb or read.adv or attributes_of(word)
    counts = "count" in attributes_of(word) or word in _REFERS
    return bool(known) and word[:1].isalpha() and not counts
