"""How common an attribute word is, and how typical of an object: leather of shoes.

Unlike `plausible.py`, which lists what may replace an attribute, this says what is to be expected.
By hand, from common knowledge.
"""

from __future__ import annotations

from functools import cache, lru_cache

from finehard.negatives.kinds import attributes_of
from finehard.phrases.lexicon import broader, category, reading

_FAMILIES = {
    "fabric": "fabric cloth textile cotton linen wool woolen knit knitted velvet silk satin denim "
    "canvas polyester nylon felt fleece flannel tweed corduroy mesh lace crochet",
    "leather": "leather suede faux_leather",
    "fur": "fur",
    "wood": "wood wooden timber plywood oak pine walnut mahogany birch maple teak cedar log",
    "metal": "metal metallic steel iron aluminum aluminium brass bronze copper tin chrome "
    "stainless_steel wrought_iron cast_iron gold silver",
    "plastic": "plastic vinyl acrylic silicone",
    "rubber": "rubber latex",
    "glass": "glass crystal",
    "ceramic": "ceramic porcelain clay earthenware terracotta stoneware china",
    "stone": "stone rock marble granite slate limestone sandstone concrete cement brick asphalt "
    "tile tiled",
    "paper": "paper cardboard",
    "wicker": "wicker rattan straw jute bamboo burlap",
}
"""Materials that are alike."""

_MATERIALS = {
    "glass metal plastic fabric paper ceramic": "lamp lampshade lantern shade",
    "paper": "book page magazine newspaper notebook card map poster label sticker envelope letter "
    "napkin tissue",
    "paper plastic wood": "box carton package parcel",
    "wood plastic metal": "crate board shelf cabinet drawer rack",
    "glass plastic": "bottle jar windshield lens screen bulb display",
    "ceramic glass plastic metal paper": "mug cup bowl plate dish saucer teapot pot crockery",
    "glass ceramic": "vase pitcher",
    "fabric": "clothing garment garb linen pillow cushion blanket towel curtain carpet rug sheet "
    "quilt scarf sock flag bedding shirt skirt sleeve collar cuff pocket cord lace ribbon "
    "embroidery",
    "fabric leather rubber": "footwear shoe sneaker boot sandal slipper",
    "leather fabric plastic": "belt strap glove wallet handbag purse backpack bag luggage "
    "suitcase saddle",
    "fabric plastic leather": "hat cap headgear helmet",
    "wicker wood plastic metal": "basket hamper",
    "rubber plastic": "tire tyre sole outsole insole grip eraser",
    "wood metal plastic fabric leather": "furniture seat table chair sofa bench stool desk bed",
    "wood metal plastic": "handle stick pole tool implement hammer brush broom ladder frame fence "
    "barrier",
    "metal": "blade knife fork spoon wire chain cutlery screw nail pipe tube rod tap faucet key "
    "zipper buckle handlebar rim wheel hinge hook rail sink coin scissors wrench can pan",
    "plastic metal glass": "computer telephone phone keyboard mouse machine device clock watch "
    "fan appliance oven microwave television monitor camera printer equipment remote dispenser "
    "button dial lid knob switch cover",
    "metal plastic rubber": "vehicle car truck bus train motorcycle bicycle airplane",
    "stone wood metal glass": "building house wall road street floor sidewalk roof church tower",
}
"""Families of materials, most typical first: nouns, or classes of WordNet."""

_COLORS_OF_FAMILIES = {
    "wood": "brown beige tan orange yellow white black",
    "metal": "gray silver black gold white",
    "leather": "black brown tan beige white",
    "paper": "white brown beige yellow",
    "glass": "transparent translucent clear green white black",
    "ceramic": "white blue brown beige",
    "stone": "gray white brown beige red black",
    "wicker": "brown beige tan yellow",
    "rubber": "black gray white",
    "fur": "brown black white gray",
}
_COLORS = {
    "black gray": "tire tyre wheel screen road street keyboard asphalt",
    "gray silver black": "blade knife spoon fork key chain sink faucet airplane",
    "white": "page toilet bathtub refrigerator cloud snow tooth plate napkin bulb",
    "green brown yellow": "plant tree grass leaf bush field lawn",
    "blue white gray": "sky water ocean sea lake river",
    "brown black white gray": "animal",
    "brown black gray blonde white": "hair beard mustache fur mane",
    "brown": "trunk soil basket",
}
"""Typical colours, of families of materials and of nouns or classes."""


_COMMON = (
    "white black",
    "brown green blue red gray grey",
    "yellow silver wooden wood metal large small orange tan",
    "pink gold beige plastic glass brick stone concrete striped purple blonde round",
    "leather cream paper fabric maroon ceramic navy teal marble floral plaid checkered rubber "
    "rectangular square",
    "denim wicker cotton canvas lace wool velvet turquoise polka dotted triangular",
)
"""Words of attributes by how common they are in descriptions of photographs, commonest first: each
line is about half as common as the one before. Estimated by hand."""
_FREQUENCY = {
    word: float(len(_COMMON) - rank)
    for rank, line in enumerate(_COMMON)
    for word in line.split()
}  # fmt: skip


def commonness(word: str) -> float:
    """Returns how common an attribute word is: one more where it is about twice as common; 0 for
    words that are not listed."""
    return _FREQUENCY.get(word, 0.0)


@cache
def _family_of() -> dict[str, str]:
    return {m.replace("_", " "): f for f, some in _FAMILIES.items() for m in some.split()}


@cache
def _by_noun(table: str) -> dict[str, tuple[str, ...]]:
    lists = _MATERIALS if table == "material" else _COLORS
    return {noun: tuple(some.split()) for some, nouns in lists.items() for noun in nouns.split()}


@lru_cache(20_000)
def _expected(table: str, head: str) -> tuple[str, ...]:
    """Returns what is expected of an object, by its noun or else by its nearest class."""
    lemma = reading(head).noun or head
    found = _by_noun(table)
    names = (lemma, *broader(lemma), "animal" if category(lemma) == "c" else "")
    return next((found[name] for name in names if name in found), ())


@lru_cache(20_000)
def typical_material(material: str, head: str) -> float:
    """Returns how typical a material is of an object: 1 for the first, less for others, -1 for
    what is not expected; 0 where nothing is known."""
    family, expected = _family_of().get(material), _expected("material", head)
    if family is None or not expected:
        return 0.0
    return 1 - expected.index(family) / len(expected) if family in expected else -1.0


@lru_cache(20_000)
def typical_color(color: str, material: str, head: str) -> float:
    """Returns how typical a colour is of an object made of `material` ("" if unknown), likewise."""
    word = color.rpartition(" ")[2].replace("grey", "gray")
    expected = _expected("color", head)
    expected = expected or tuple(
        _COLORS_OF_FAMILIES.get(_family_of().get(material, ""), "").split()
    )
    if not expected or "color" not in attributes_of(word):
        return 0.0
    return 1 - expected.index(word) / len(expected) if word in expected else -1.0
