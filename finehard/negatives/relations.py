"""Whether two attribute words can be true of the same thing: synonyms, hypernyms, near shades.

WordNet's relations are vendored in `data/relations.txt.xz`: one word per line with the numbers of
its common senses, then under `#above` each sense with its parents (hypernyms; for an adjective the
head that it is similar to), and under `#opposite` the pairs of senses that exclude each other. Two
words are related if they share a sense, or a sense of one is a
parent of a sense of the other. Colours and common attribute words, on which WordNet is sparse, are
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
    "brown tan khaki camel maroon chocolate chestnut coffee mahogany bronze copper auburn hazel "
    "walnut",
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
    "purple maroon violet lavender lilac plum mauve magenta indigo purplish",
    "pink rose magenta fuchsia salmon coral pinkish",
    "multicolored multicoloured colorful colourful multi-colored rainbow",
    "transparent clear see-through",
    "striped stripy stripe stripes lined pinstriped",
    "dotted spotted polka dot dots polka-dot polka-dotted dotty speckled",
    "checkered checked chequered plaid tartan gingham",
    "floral flowered flowery",
    "plain solid unpatterned",
    "wooden wood timber",
    "metal metallic",
    "aluminum aluminium",
    "fabric cloth textile",
    "woolen woollen wool knitted knit crochet",
    "ceramic porcelain clay earthenware china pottery terracotta stoneware",
    "stone rock",
    "stone concrete cement",
    "cotton linen polyester nylon",
    "denim jean",
    "steel stainless-steel iron aluminum aluminium tin chrome pewter",
    "brass bronze copper gold golden",
    "straw wicker rattan jute burlap",
    "plastic vinyl acrylic",
    "rubber silicone latex",
    "velvet suede",
    "crochet knit knitted lace",
    "marble granite limestone sandstone",
    "brick tile tiled clay terracotta",
    "leather leathery suede",
    "paper cardboard",
    "glass crystal",
    "wicker rattan woven",
    "camouflage camo",
    "zigzag chevron herringbone",
    "triangular conical cone-shaped",
    "leopard zebra spotted",
    "curved rounded round arched domed",
    "cylindrical round tubular",
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
"""Groups of words that may describe the same thing; a word can be in several. Written by hand:
WordNet 3.0 has no near shades, and few words for patterns."""

SHADED = (
    "black | dark gray; dark grey; navy; dark navy; navy blue; dark blue; dark brown",
    "white | light gray; light grey; cream; light beige",
    "brown | dark orange; dark yellow; dark beige; light brown; dark tan",
    "beige | light brown; light yellow; light orange; white; light gray; light grey",
    "light brown | tan; beige; khaki; camel; light yellow; light orange; cream; sand; peach; "
    "golden",
    "dark brown | dark yellow; dark orange; maroon",
    "pink | light red; light purple; dark pink; light magenta",
    "purple | dark pink; dark violet",
    "red | dark orange; dark pink",
    "dark red | maroon; burgundy; dark pink",
    "light red | pink; light pink; salmon; coral",
    "blue | light blue; navy blue",
    "light blue | cyan; aqua; turquoise; light gray; light grey",
    "gray | silver; dark silver; light black",
    "grey | silver; dark silver; light black",
    "light gray | silver; off-white; ivory",
    "light grey | silver; off-white; ivory",
    "dark gray | charcoal; black",
    "dark grey | charcoal; black",
    "dark green | olive; dark teal",
    "light green | lime; mint; teal",
    "yellow | light orange; gold",
    "dark yellow | mustard; gold; olive; light orange; orange",
    "light yellow | cream; ivory; beige; light orange",
    "light orange | peach; light yellow; dark yellow",
    "light purple | lavender; lilac; pink; light pink",
)
"""Colours with the shades of another colour that may describe the same thing. By hand."""

KINDS = {
    "wooden wood": "oak pine walnut mahogany bamboo birch maple plywood",
    "metal metallic": "steel iron aluminum aluminium brass bronze copper tin chrome silver gold",
    "fabric cloth textile": "cotton linen wool woolen velvet silk denim polyester canvas felt",
    "stone": "marble granite slate concrete brick",
    "plastic": "vinyl acrylic",
    "patterned": "striped dotted checkered floral plaid geometric",
    "geometric": "striped dotted checkered zigzag chevron herringbone houndstooth argyle",
}
"""Hypernyms and their hyponyms, which exclude each other."""

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
        "medium",
        "neon",
        "pastel",
        "partially",
        "fully",
        "completely",
    ]
)
"""Modifiers that do not change the attribute: what is dark blue is blue."""


@cache
def _wordnet() -> tuple[
    dict[str, frozenset[int]], dict[int, frozenset[int]], frozenset[tuple[int, int]]
]:
    text = lzma.decompress(PATH.read_bytes()).decode()
    words, _, rest = text.partition("#above\n")
    above, _, opposite = rest.partition("#opposite\n")
    senses = {}
    for line in words.splitlines():
        word, *numbers = line.split(" ")
        senses[word] = frozenset(map(int, numbers))
    higher = {}
    for line in above.splitlines():
        sense, *parents = map(int, line.split(" "))
        higher[sense] = frozenset(parents)
    pairs = set()
    for line in opposite.splitlines():
        one, other = map(int, line.split(" "))
        pairs |= {(one, other), (other, one)}
    return senses, higher, frozenset(pairs)


@cache
def _near() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for number, words in enumerate(NEAR):
        for word in words.split():
            groups.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in groups.items()}


@cache
def _shaded() -> frozenset[tuple[str, str]]:
    pairs = set()
    for line in SHADED:
        color, _, others = line.partition(" | ")
        for other in others.split("; "):
            pairs |= {(color, other), (other, color)}
    return frozenset(pairs)


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
    senses, *_ = _wordnet()
    read = reading(word)
    forms = {word, read.adj, read.noun, read.verb}
    return frozenset().union(*(senses.get(form, frozenset()) for form in forms if form))


def _above(senses: frozenset[int]) -> frozenset[int]:
    _, higher, _ = _wordnet()
    return frozenset().union(*(higher.get(sense, frozenset()) for sense in senses))


@lru_cache(100_000)
def related(one: str, other: str) -> str | None:
    """Returns "near_shade", "synonym" or "hypernym" if both words can be true of one thing.

    Both are single lower-case words; the order does not matter.
    """
    near = _near()
    if near.get(one, frozenset()) & near.get(other, frozenset()):
        return "near_shade"
    if (one, other) in _kinds():
        return "hypernym"
    if one in _by_hand() and other in _by_hand():
        return None  # both listed by hand: WordNet's rarer senses would add false relations
    first, second = _senses(one), _senses(other)
    if first & second:
        return "synonym"
    if first & _above(second) or second & _above(first):
        return "hypernym"
    return None


@lru_cache(100_000)
def opposed(one: str, other: str) -> bool:
    """Whether WordNet has both as adjectives that exclude each other: "guilty", "innocent"."""
    *_, pairs = _wordnet()
    first, second = _senses(one), _senses(other)
    first, second = first | _above(first), second | _above(second)
    return any((a, b) in pairs for a in first for b in second)


def too_close(original: str, replacement: str) -> str | None:
    """Returns the relation by which `replacement` may be true where `original` is, or None.

    Phrases are compared without shared words and without words of degree: "dark blue" may be true
    where "blue" is, "pale green" is not true where "light red" is.
    """
    old, new = original.lower().split(), replacement.lower().split()
    if (" ".join(old), " ".join(new)) in _shaded():
        return "near_shade"
    if set(old) - DEGREES == set(new) - DEGREES and set(new) - DEGREES:
        # "blue" to "dark blue" is no swap, but "light blue" to "dark blue" is
        return None if set(old) & DEGREES and set(new) & DEGREES else "near_shade"
    plain_old = [w for w in old if w not in DEGREES and w not in new]
    plain_new = [w for w in new if w not in DEGREES and w not in old]
    if not plain_old or not plain_new or len(plain_old) > 1 or len(plain_new) > 1:
        return None
    return related(plain_old[0], plain_new[0])
