"""Attributes of words: "red" is a color, "made of wood" a material, "sitting" an action.

Colours, materials, patterns and shapes are listed here by hand; words of size, count, state,
action and position stand on the axes of `axes.py`. A noun that WordNet places under wood is a
material.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from finehard.negatives.axes import attributes
from finehard.phrases.lexicon import broader

WORDS = {
    "color": "red orange yellow green blue purple pink brown black white gray grey silver silvery "
    "gold golden beige tan khaki cream cream-colored ivory off-white teal turquoise aqua cyan "
    "aquamarine navy azure indigo cobalt sapphire crimson scarlet maroon burgundy ruby magenta "
    "fuchsia salmon coral rose peach amber apricot tangerine rust mustard lemon lime olive emerald "
    "jade mint violet lavender lilac plum mauve chestnut auburn taupe fawn camel charcoal ash "
    "pearl blond blonde brunette ginger reddish yellowish greenish bluish brownish pinkish "
    "purplish grayish greyish whitish blackish reddish-brown jet-black multicolored multicoloured "
    "multi-colored multi-coloured colorful colourful rainbow monochrome wine "
    "chocolate vermilion chartreuse ochre sepia periwinkle cerulean ebony sandy sand two-tone",
    "material": "wooden wood timber plywood bamboo oak pine walnut mahogany birch maple teak "
    "cedar metal metallic steel iron aluminum aluminium brass bronze copper tin "
    "chrome silver gold golden pewter plastic vinyl acrylic rubber glass crystal "
    "leather suede stone rock marble granite slate limestone sandstone concrete "
    "cement brick clay ceramic porcelain earthenware terracotta stoneware china "
    "paper cardboard fabric cloth textile cotton linen wool woolen woollen knit "
    "knitted crochet crocheted velvet silk satin denim jean canvas polyester nylon "
    "lace felt fleece flannel tweed corduroy mesh fur wicker rattan straw jute "
    "burlap foam wax chocolate asphalt tile tiled carbon titanium silicone latex "
    "styrofoam cork hemp bone ivory gabardine chiffon taffeta muslin jersey velour "
    "spandex lycra cashmere mohair seersucker twill terrycloth microfiber chenille "
    "brocade tulle organza tarpaulin stainless_steel cast_iron wrought_iron "
    "faux_leather patent_leather carbon_fiber text",
    "pattern": "plain solid striped stripy stripe stripes lined pinstriped dotted spotted "
    "speckled polka-dot polka_dot polka-dotted polka_dotted dots polka_dots "
    "checkered checked chequered checkerboard plaid tartan gingham floral flowered "
    "flowery paisley houndstooth herringbone zigzag chevron camouflage camo "
    "geometric tie-dye tie-dyed tie-dyed leopard zebra argyle patterned unpatterned "
    "woven perforated studded textured quilted ribbed embossed swirled marbled "
    "abstract mottled logo text solid-colored plain-colored diamond-patterned "
    "star-patterned starred",
    "shape": "round circular spherical rounded oval elliptical square squared boxy cubic "
    "rectangular oblong triangular three-cornered hexagonal octagonal pentagonal cylindrical "
    "conical cone-shaped heart-shaped star-shaped crescent-shaped "
    "diamond-shaped l-shaped u-shaped v-shaped t-shaped egg-shaped pear-shaped pyramidal spiral "
    "ring-shaped tubular semicircular half-round dome-shaped crescent round-shaped square-shaped",
}
"""Attribute -> its words; words of a phrase are joined by "_"."""

SHADES = frozenset(("light", "dark", "pale", "bright", "deep", "dull", "vivid", "faded", "soft",
                    "rich", "medium", "neon", "pastel"))  # fmt: skip
"""Words that stand before a colour and belong to it."""

_DEGREES = frozenset(("very", "slightly", "mostly", "partially", "partly", "fully", "rather",
                      "quite", "extremely", "completely"))  # fmt: skip
_LINKS = frozenset(("and", "or", ",", "&"))
_MADE_OF = frozenset(("of", "from", "made", "colored", "coloured", "color", "colour", "in"))
_ARTICLES = frozenset(("a", "an", "the"))
_LONGEST = 3


class Part(NamedTuple):
    """A stretch of words with one attribute. `attributes` are its possible ones."""

    words: str
    attributes: frozenset[str]


@cache
def _table() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for attribute, words in WORDS.items():
        for word in words.split():
            found.setdefault(word.replace("_", " "), set()).add(attribute)
    for word, some in attributes().items():
        found.setdefault(word, set()).update(some)
    return {word: frozenset(some) for word, some in found.items()}


@lru_cache(100_000)
def attributes_of(word: str) -> frozenset[str]:
    """Returns the possible attributes of a lower-case word or phrase; empty if unknown."""
    found = _table().get(word)
    if found is None and "-" in word:
        found = _hyphenated(word)
    if found is None:
        found = frozenset(["material"]) if "wood" in broader(word) else frozenset()
    return found


def _hyphenated(word: str) -> frozenset[str] | None:
    """Returns the attributes of "dark-blue", "blue-green", "brown-colored"; None if unknown."""
    first, _, last = word.rpartition("-")
    if last in ("colored", "coloured", "color", "toned"):
        return _table().get(first)
    parts = [_table().get(part, frozenset()) for part in (first, last) if part not in SHADES]
    common = frozenset.intersection(*parts) if parts else frozenset()
    return common & {"color"} or None


@lru_cache(20_000)
def parts(words: str) -> tuple[Part, ...] | None:
    """Returns the attributes that a phrase consists of, or None if it has other words, too.

    "black and white" is one colour, "black plastic" a colour and a material.
    """
    split = words.replace(",", " , ").split()
    found: list[Part] = []
    place = 0
    while place < len(split):
        step, part = _part(split, place)
        place += step
        if part is None:
            if split[place - 1] not in _LINKS | _DEGREES | _MADE_OF | _ARTICLES:
                return None
        elif found and (both := _listed(found[-1], part, split[place - step - 1])):
            found[-1] = Part(f"{found[-1].words} {part.words}", both)
        else:
            found.append(part)
    return tuple(found) or None


def _listed(one: Part, other: Part, before: str) -> frozenset[str]:
    """Returns the attributes of two parts that are one list: "black and white", "navy blue"."""
    both = one.attributes & other.attributes
    return both if before in _LINKS else both & {"color"}


def _part(split: Sequence[str], place: int) -> tuple[int, Part | None]:
    """Returns how many words from `place` on belong together, and what they are."""
    shades = place
    while shades < min(len(split), place + _LONGEST) and split[shades] in SHADES:
        shades += 1
    if shades > place:
        if shades < len(split) and "color" in attributes_of(split[shades]):
            joined = " ".join(split[place : shades + 1])
            return shades + 1 - place, Part(joined, frozenset(["color"]))
        known = attributes_of(split[place])
        return 1, Part(split[place], known | {"color"})
    for size in range(min(_LONGEST, len(split) - place), 0, -1):
        phrase = " ".join(split[place : place + size])
        if known := attributes_of(phrase):
            return size, Part(phrase, known)
    return 1, None
