"""Counts objects anew: "a red mug" becomes "two red mugs", where the noun can be counted."""

from __future__ import annotations

from functools import lru_cache

from finehard.negatives.listed import listed
from finehard.phrases.lexicon import broader, category, reading

_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet",
    "tooth": "teeth", "goose": "geese", "mouse": "mice", "leaf": "leaves", "knife": "knives",
    "shelf": "shelves", "loaf": "loaves", "half": "halves", "calf": "calves", "wolf": "wolves",
    "scarf": "scarves", "wife": "wives", "thief": "thieves", "elf": "elves", "hoof": "hooves",
}  # fmt: skip
_UNCOUNTED = listed(
    "water grass sand snow ice hair fur sky food bread rice cheese meat furniture clothing "
    "luggage silverware jewelry pottery foliage traffic smoke fire wood glassware vegetation "
    "greenery graffiti soil mud dirt gravel hay milk juice coffee tea wine beer soup pasta "
    "butter honey sugar salt paper cloth fabric lace leather moss ivy ground people cutlery "
    "tableware laundry equipment machinery steam fog mist dust makeup eyewear headgear footwear "
    "denim skin flesh text lettering writing paint paneling flooring seating lighting sportswear "
    "outerwear underwear asphalt pavement concrete sunlight darkness air atmosphere weather "
    "landscape scenery terrain background foreground horizon sun moon sea ocean beach earth "
    "world ambience decor architecture artwork shrubbery underbrush undergrowth seaweed cattle "
    "poultry livestock police crew staff sheep deer fish aircraft spacecraft moose salmon shrimp "
    "bison offspring series species means headquarters gear stuff attire apparel calligraphy "
    "signage broth chest mane torso neck nose tongue back variety range array series assortment "
    "collection selection mix mixture medley majority plenty kind type sort part portion number"
)
"""Nouns without a plural, with one like the singular, or of which an image has one."""
_SUBSTANCE, _FOOD = "y", "k"
"""Letters of WordNet's categories."""
_PIECES = listed("fruit vegetable sandwich cake cookie pastry pie pizza burger egg hotdog muffin "
                    "pancake waffle taco burrito sausage doughnut donut")  # fmt: skip
"""Foods of which one can be seen."""


@lru_cache(10_000)
def plural(noun: str) -> str:
    """Returns the plural of a lower-case singular noun, or "" if it has none or is unknown."""
    read = reading(noun)
    if read.noun != noun or read.plural or noun in _UNCOUNTED:
        return ""
    kind = category(noun)
    if read.verb_form == "g" and kind != "d":
        return ""
    if kind == _SUBSTANCE or kind == _FOOD and not _PIECES.intersection((noun, *broader(noun))):
        return ""
    for singular, many in _IRREGULAR.items():
        if noun == singular or singular in ("man", "woman") and noun.endswith(singular):
            return noun.removesuffix(singular) + many
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return "" if noun.endswith("s") and not noun.endswith("ss") else f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("tomato", "potato", "hero", "mango")) else f"{noun}s"
