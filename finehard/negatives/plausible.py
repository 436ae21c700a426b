"""Materials and colours that an object can have, by its class in WordNet: no glass belt."""

from __future__ import annotations

from functools import lru_cache

from finehard.negatives.listed import listed
from finehard.phrases.lexicon import broader, category, reading

SOFT = ("leather", "denim", "velvet", "wool", "silk", "lace", "fur", "cotton")
HARD = ("wood", "metal", "plastic", "glass", "stone", "ceramic")
BUILT = ("wood", "metal", "glass", "stone", "brick", "concrete", "marble")

_MATERIALS = {
    "linen": "paper leather velvet wool lace silk denim",
    "equipment": "leather rubber plastic metal wood",
    "blind": "lace velvet wool silk leather plastic bamboo",
    "bag": "leather canvas plastic paper straw velvet denim",
    "belt": "leather metal plastic denim velvet canvas rubber",
    "clothing": "leather denim velvet wool silk lace fur",
    "footwear": "leather canvas rubber velvet wooden plastic",
    "shoe": "leather canvas rubber velvet wood plastic",
    "seat": "wood metal plastic wicker stone leather",
    "furniture": "wood metal plastic glass wicker stone bamboo",
    "table": "wood metal plastic glass wicker stone marble",
    "container": "glass ceramic metal wood plastic paper stone",
    "building": "wood brick stone concrete metal glass",
    "barrier": "wood brick stone concrete metal glass bamboo",
    "construction": "wood brick stone concrete metal glass",
    "surface": "wood brick stone concrete metal glass marble",
    "level": "wood brick stone concrete metal glass marble",
    "window": "plastic paper metal wood stone",
    "pane": "plastic paper metal wood stone",
    "art": "wood stone metal plastic glass ceramic",
    "device": "wood metal plastic glass stone rubber",
    "vehicle": "metal wood plastic paper glass rubber",
}
"""Class -> materials that its objects are made of. The first class that fits is used."""

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white",
          "gray")  # fmt: skip
_BUILDING = listed("concrete brick stone cement asphalt tile tiled marble granite rock")
_ANIMAL = tuple(color for color in COLORS if color not in ("orange", "yellow"))
"""Brown animals are called golden, orange or yellow."""
_HAIR = ("black", "white", "brown", "gray", "blonde", "red", "pink")
_MADE_OF_ITSELF = ("a", "c", "f", "k", "p", "r")
"""Letters of the categories of living things, their parts and food."""
_SOFT_WORDS = listed("fabric cloth textile woolen knitted knit crochet suede nylon polyester felt "
                        "fleece canvas burlap linen satin latex foam")  # fmt: skip
_HAIRY = listed("hair mane fur beard mustache tail ponytail eyebrow")
_CONTAINERS = listed("container vessel dish bag basket box shelf")
_GROUPS = listed("couple family crew crowd team people audience duo trio gang herd flock pack")
_YOUNG = listed("boy girl child kid baby toddler infant teenager puppy kitten calf lamb foal cub")
_LIVING = frozenset("acp")
"""Letters of WordNet's categories of persons and animals, and of their common class."""
_NATURE = frozenset("fkmoqry")
"""Letters of the categories of body parts, food, places, nature and plants."""


@lru_cache(10_000)
def materials(head: str, original: str) -> tuple[str, ...]:
    """Returns materials, as nouns, that an object may have instead of `original`.

    `head` is the object's noun. Where its class is unknown, soft materials are exchanged for soft
    ones, hard for hard.
    """
    lemma = reading(head).noun or head
    for name in (lemma, *broader(lemma)):
        if name in _MATERIALS:
            return tuple(_MATERIALS[name].split())
    if category(lemma) in _MADE_OF_ITSELF:
        return ()
    if original in _BUILDING:
        return BUILT
    return SOFT if original in SOFT or _soft(original) else HARD


def _soft(material: str) -> bool:
    return material in _SOFT_WORDS or (not {"fabric", "cloth"}.isdisjoint(broader(material)))


@lru_cache(10_000)
def colors(head: str) -> tuple[str, ...]:
    """Returns the colours that an object may have, by its noun."""
    lemma = reading(head).noun or head
    if lemma in _HAIRY:
        return _HAIR
    return _ANIMAL if category(lemma) == "c" else COLORS


@lru_cache(10_000)
def domain(head: str) -> str:
    """Returns "living", "thing", or "" for a body part or a place, by an object's noun."""
    kind = category(reading(head).noun or head)
    if (reading(head).noun or head) in _GROUPS:
        return "living"
    return "living" if kind and kind in _LIVING else "" if kind and kind in _NATURE else "thing"


def person(head: str) -> bool:
    """Whether an object's noun names a person."""
    return category(reading(head).noun or head) in ("a", "p")


def container(head: str) -> bool:
    """Whether an object's noun names something that can be empty or full."""
    lemma = reading(head).noun or head
    return not _CONTAINERS.isdisjoint((lemma, *broader(lemma)))


def young(head: str) -> bool:
    """Whether an object's noun says that it is young."""
    return (reading(head).noun or head) in _YOUNG
