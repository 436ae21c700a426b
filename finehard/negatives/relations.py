"""Whether two attribute words can be true of the same thing: synonyms, hypernyms, near shades.

WordNet's part of this is vendored in `data/relations.txt.xz`: a word a line with the numbers of
its common senses, then under `#above` a sense and those above it. A word's relatives are those
that share a sense, or whose sense lies at most two steps above (hypernyms; for an adjective the
one that it is similar to). What WordNet does not know of colours and common attribute words is
added by hand below.
"""

from __future__ import annotations

import lzma
from functools import cache, lru_cache
from pathlib import Path

from finehard.phrases.lexicon import reading

PATH = Path(__file__).parent / "data" / "relations.txt.xz"

NEAR = (
    "gray grey silver silvery charcoal slate ash ashen",
    "beige tan khaki sand sandy cream fawn camel taupe",
    "brown tan chocolate chestnut coffee mahogany bronze copper auburn hazel walnut",
    "white ivory cream off-white snowy pearl eggshell",
    "black jet ebony charcoal onyx jet-black",
    "red crimson scarlet maroon burgundy ruby cherry reddish wine",
    "orange amber peach tangerine apricot coral rust",
    "yellow gold golden blond blonde amber mustard lemon yellowish",
    "green olive lime emerald jade mint khaki greenish",
    "blue navy azure indigo cobalt sapphire turquoise bluish denim",
    "teal turquoise aqua cyan aquamarine",
    "teal green",
    "teal blue",
    "cyan blue",
    "purple violet lavender lilac plum mauve magenta indigo purplish",
    "pink rose magenta fuchsia salmon coral pinkish",
    "multicolored multicoloured colorful colourful multi-colored rainbow",
    "transparent clear see-through translucent",
    "striped stripy stripes lined pinstriped",
    "dotted spotted polka-dot polka-dotted dotty speckled",
    "checkered checked chequered plaid tartan gingham",
    "floral flowered flowery",
    "plain solid unpatterned",
    "wooden wood timber",
    "metal metallic",
    "aluminum aluminium",
    "fabric cloth textile",
    "woolen woollen wool knitted knit crochet",
    "ceramic porcelain clay earthenware china pottery",
    "stone rock",
    "leather leathery suede",
    "paper cardboard",
    "glass crystal",
    "wicker rattan woven",
    "small little tiny mini miniature petite compact",
    "large big huge giant enormous oversized massive",
    "tall high",
    "round circular spherical rounded",
    "oval elliptical",
    "square boxy cubic",
    "rectangular oblong",
    "triangular three-cornered",
    "open opened ajar unlocked",
    "closed shut",
    "empty vacant bare unoccupied",
    "full filled",
    "old aged elderly ancient antique vintage worn",
    "new modern brand-new",
    "wet damp soaked moist",
    "dirty muddy stained soiled filthy",
    "clean spotless",
    "broken cracked damaged shattered",
    "several many multiple numerous",
    "two pair couple both",
    "single one",
)
"""Words of which the same thing may be said by two people, a line each; a word may be in several.
Written by hand: WordNet 3.0 has no near shades, and few of the words for patterns."""

KINDS = {
    "wooden wood": "oak pine walnut mahogany bamboo birch maple plywood",
    "metal metallic": "steel iron aluminum aluminium brass bronze copper tin chrome silver gold",
    "fabric cloth textile": "cotton linen wool woolen velvet silk denim polyester canvas felt",
    "stone": "marble granite slate concrete brick",
    "plastic": "vinyl acrylic",
    "patterned": "striped dotted checkered floral plaid",
}
"""Words, and words for kinds of them: each is true of its kinds, the kinds not of each other."""

DEGREES = frozenset(
    [
        "light",
        "dark",
        "pale",
        "bright",
        "deep",
        "dull",
        "vivid",
        "faded",
        "very",
        "slightly",
        "mostly",
        "soft",
        "rich",
    ]
)
"""Words that shade another: what is dark blue is blue."""


@cache
def _wordnet() -> tuple[dict[str, frozenset[int]], dict[int, frozenset[int]]]:
    text = lzma.decompress(PATH.read_bytes()).decode()
    words, _, above = text.partition("#above\n")
    senses = {}
    for line in words.splitlines():
        word, *numbers = line.split(" ")
        senses[word] = frozenset(map(int, numbers))
    higher = {}
    for line in above.splitlines():
        sense, *parents = map(int, line.split(" "))
        higher[sense] = frozenset(parents)
    return senses, higher


@cache
def _near() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for number, words in enumerate(NEAR):
        for word in words.split():
            groups.setdefault(word, set()).add(number)
    return {word: frozenset(found) for word, found in groups.items()}


@cache
def _kinds() -> frozenset[tuple[str, str]]:
    return frozenset(
        pair
        for words, kinds in KINDS.items()
        for word in words.split()
        for kind in kinds.split()
        for pair in ((word, kind), (kind, word))
    )


@cache
def _by_hand() -> frozenset[str]:
    return frozenset(_near()) | {word for word, _ in _kinds()}


def _senses(word: str) -> frozenset[int]:
    senses, _ = _wordnet()
    read = reading(word)
    forms = {word, read.adj, read.noun, read.verb}
    return frozenset().union(*(senses.get(form, frozenset()) for form in forms if form))


def _above(senses: frozenset[int]) -> frozenset[int]:
    _, higher = _wordnet()
    return frozenset().union(*(higher.get(sense, frozenset()) for sense in senses))


@lru_cache(100_000)
def related(one: str, other: str) -> str | None:
    """ "near_shade", "synonym" or "hypernym" where both words can be true of one thing, else None.

    Both are single lower-case words; the order does not matter.
    """
    near = _near()
    if near.get(one, frozenset()) & near.get(other, frozenset()):
        return "near_shade"
    if (one, other) in _kinds():
        return "hypernym"
    if one in _by_hand() and other in _by_hand():
        return None  # both known by hand: WordNet's rarer readings would only blur it
    first, second = _senses(one), _senses(other)
    if first & second:
        return "synonym"
    if first & _above(second) or second & _above(first):
        return "hypernym"
    return None


def too_close(original: str, replacement: str) -> str | None:
    """The relation by which `replacement` may be as true as `original`, or None.

    Phrases are compared without the words that they share, and without words of degree: "dark
    blue" is as true as "blue", "pale green" is not as true as "light red".
    """
    old, new = original.lower().split(), replacement.lower().split()
    if set(old) - DEGREES == set(new) - DEGREES and set(new) - DEGREES:
        # "blue", "dark blue"; but "light blue" against "dark blue" is a swap
        return None if set(old) & DEGREES and set(new) & DEGREES else "near_shade"
    plain_old = [w for w in old if w not in DEGREES and w not in new]
    plain_new = [w for w in new if w not in DEGREES and w not in old]
    if not plain_old or not plain_new or len(plain_old) > 1 or len(plain_new) > 1:
        return None
    return related(plain_old[0], plain_new[0])
