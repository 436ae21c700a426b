"""The words of a text that name its objects and their parts, which no swap may change.

A text is cut into runs of words between prepositions, articles, conjunctions, punctuation and
participles ("a mouse | made of | black plastic"). The last word of a run is its head, and words
before it that are no attributes modify it ("trash can"). A colour or material that ends a run is
free if what is before it asks for one ("made of plastic", "in white"), or if the run is only the
first part of a list ("black and white wheels").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from finehard.negatives.kinds import SHADES, attributes_of
from finehard.negatives.listed import listed
from finehard.phrases.lexicon import category, reading

_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_BREAKS = listed(
    "a an the this that these those some any no every each another its his her their my your our "
    "of in on at by for with from to into onto upon over under above below behind beside besides "
    "between among around across along against near through toward towards off inside outside "
    "within without beneath underneath beyond past atop like about down up via next alongside per "
    "is are was were be being been has have had which who whose where while as if because "
    "featuring including wearing there it they he she not"
)
_ARTICLES = listed("a an the its his her their this that one")
_AFTER_PARTICIPLES = ("of", "from", "by", "to", "with")
_LISTS = frozenset(("and", "or", "&", ",", "/", "but"))
_OF_MATERIAL = listed("of from in with is are was were by colored coloured and or & , /")
_OF_COLOR = listed("in is are was were colored coloured and or & , /")
_AGENTS = ("", "a", "c", "p")
"""Letters of WordNet's categories of persons and animals; unknown nouns."""
_QUALITY = "e"
"""Letter of WordNet's category of qualities, which has the names of colours."""
_GROWN = ("k", "r")
"""Letters of the categories of food and plants."""

_GROWN_COLORS = listed(
    "lavender rose mint lilac violet peach plum apricot olive lemon lime mustard salmon tangerine"
)
"""Colors that are also names of plants and food: "a rose"."""
_OBJECTS = listed(
    "glass paper brick stone tin iron tile crystal bone china canvas lace mesh rock text cork felt "
    "chocolate ice"
)
"""Materials that are also names of objects: "in a glass"."""


class Word(NamedTuple):
    """A word of a text, where it is, and what it does there."""

    lower: str
    start: int
    end: int
    group: int
    """Number of the noun phrase, lists included, that it is a part of; -1 between them."""
    head: bool
    """Whether it names an object or a part."""


@lru_cache(4096)
def words(text: str) -> tuple[Word, ...]:
    """Returns the words and punctuation marks of `text` in order."""
    tokens = [(m[0].lower(), *m.span()) for m in _TOKEN.finditer(text)]
    lower = [token for token, *_ in tokens]
    heads = _heads(lower)
    found = []
    group = 0
    for place, (word, start, end) in enumerate(tokens):
        broken = _breaks(lower, place)
        group += broken or (place - 1 in heads)
        found.append(Word(word, start, end, -1 if broken else group, place in heads))
    return tuple(found)


def _breaks(lower: list[str], place: int) -> bool:
    word = lower[place]
    if word in _LISTS:
        return False
    return word in _BREAKS or not word[0].isalnum() or _participle(lower, place)


def _participle(lower: list[str], place: int) -> bool:
    """Whether a word is a verb after its noun: "made of", "attached to", "sitting on"."""
    read = reading(lower[place])
    before = lower[place - 1] if place else ""
    if read.verb_form not in ("g", "d") or read.noun_count > read.verb_count:
        return False
    if read.noun and (not before or before in _ARTICLES or _adjective(before)):
        return False  # "a brick building"
    if category(read.noun) == "d" and category(reading(before).noun) not in _AGENTS:
        return False  # "a skyscraper building"
    following = lower[place + 1] if place + 1 < len(lower) else ""
    if following in _AFTER_PARTICIPLES and "pattern" not in attributes_of(lower[place]):
        return True
    return (following in _BREAKS or not following) and read.adj != lower[place]


def _adjective(word: str) -> bool:
    read = reading(word)
    return bool(attributes_of(word)) or read.adj_count > read.noun_count


def _ends_run(lower: list[str], place: int) -> bool:
    following = lower[place + 1] if place + 1 < len(lower) else ""
    return not following or following in _LISTS or _breaks(lower, place + 1)


def _heads(lower: list[str]) -> frozenset[int]:
    """Returns the places of the last words of the runs, those that are attributes left out."""
    found = set()
    for place, word in enumerate(lower):
        if word in _LISTS or _breaks(lower, place) or not _ends_run(lower, place):
            continue
        if not _attribute_at_end(lower, place):
            found.add(place)
            if place and _grown(lower[place - 1], word):
                found.add(place - 1)
        elif place and _named(lower, place - 1):
            found.add(place - 1)  # "a dog running", "a basket full"
    return frozenset(found)


def _named(lower: list[str], place: int) -> bool:
    """Whether a word before an attribute is what the attribute is said of."""
    word = lower[place]
    listed_or_broken = word in _LISTS or _breaks(lower, place) or word in SHADES
    return not (listed_or_broken or _adjective(word)) and bool(reading(word).noun)


def _grown(word: str, head: str) -> bool:
    """Whether a colour names a plant or food here: "lavender bushes", "chocolate cake"."""
    read = reading(word)
    named = attributes_of(word) and category(read.noun) in _GROWN and not read.adj_count
    return bool(named) and category(reading(head).noun) in _GROWN


def _attribute_at_end(lower: list[str], place: int) -> bool:
    """Whether the last word of a run is an attribute rather than the name of an object."""
    word = lower[place]
    known = attributes_of(word)
    if not known:
        return word in SHADES
    before = lower[place - 1] if place else ""
    if known == {"action"}:  # "a man sitting", but "a black drawing"
        return before not in _ARTICLES and not attributes_of(before)
    if known == {"position"} and {"color", "material"} & attributes_of(before):
        return False  # "a dark blue exterior"
    read = reading(word)
    if word in _GROWN_COLORS and not _says_color(lower, place):
        return False  # "a vase of lavender", but "a man in lavender"
    if "material" not in known:
        verb_count = read.verb_count if read.verb_form else 0
        named = read.noun_count > max(read.adj_count, verb_count)
        if not named or "color" in known and category(word) == _QUALITY:
            return True
    if "material" in attributes_of(before):
        return False  # "a fabric lace"
    asked = _before_attributes(lower, place)
    if asked in ("a", "the") and word not in _OBJECTS:  # "in a dark grey fabric"
        asked = _before_attributes(lower, place, "a", "the")
    if "material" in known and asked in _OF_MATERIAL or "color" in known and asked in _OF_COLOR:
        return True
    return _list_goes_on(lower, place)


def _says_color(lower: list[str], place: int) -> bool:
    """Whether what stands before a color asks for one: "in", "is", "painted", "white and"."""
    asked = _before_attributes(lower, place)
    return asked in _OF_COLOR or reading(asked).verb_form != "" or _list_goes_on(lower, place)


def _before_attributes(lower: list[str], place: int, *articles: str) -> str:
    """Returns the word before the attributes, and before the article, that end at `place`."""
    while place > 0 and (lower[place - 1] in SHADES or attributes_of(lower[place - 1])):
        if lower[place - 1] in _BREAKS:
            break
        place -= 1
    if place > 0 and lower[place - 1] in articles:
        place -= 1
    return lower[place - 1] if place else ""


def _list_goes_on(lower: list[str], place: int) -> bool:
    """Whether "and" or a comma and another word of the same attribute follow."""
    following = lower[place + 1 : place + 4]
    if len(following) < 2 or following[0] not in _LISTS:
        return False
    after = next((word for word in following[1:] if word not in _LISTS | SHADES), "")
    return bool(attributes_of(word := lower[place]) & attributes_of(after)) and word != after
