"""What is typical of an object: of its class, of its material; nothing where nothing is known."""

from finehard.negatives.traits import NUMBERS, traits
from finehard.negatives.typical import typical_color, typical_material


def test_typical_materials_go_by_the_class_of_the_noun() -> None:
    assert typical_material("cotton", "sweaters") == 1
    assert typical_material("metal", "sweater") == -1
    assert typical_material("porcelain", "mug") > typical_material("paper", "mug") > 0
    assert typical_material("paper", "thought") == typical_material("red", "mug") == 0


def test_typical_colors_go_by_noun_or_material() -> None:
    assert typical_color("light brown", "wooden", "box") == 1
    assert typical_color("purple", "wooden", "box") == -1
    assert typical_color("dark grey", "", "tires") > 0 > typical_color("pink", "", "tires")
    assert typical_color("purple", "plastic", "box") == typical_color("purple", "", "box") == 0


def test_traits_count_what_is_typical() -> None:
    usual, odd = (
        dict(zip(NUMBERS, traits(text).numbers, strict=True))
        for text in ("a brown wooden box", "a purple metal sweater")
    )
    assert usual["typical colour"] == 1 and odd["typical material"] == -1
