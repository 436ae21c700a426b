"""Hard negatives from the lexicon."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.negatives.lexicon import swaps
from finehard.negatives.swap import check, normal, pick


def _made(text: str) -> list[str]:
    picked, _ = pick(text, swaps(text), 30)
    return [negative.text for negative in picked]


def test_every_swap_changes_the_words_it_names() -> None:
    text = "a small red striped mug"
    for swap in swaps(text):
        made = check(text, swap, [])
        if not isinstance(made, str):
            assert made.attribute == swap.attribute
            counted = swap.attribute == "count"
            given = "" if counted else text[2:].replace(made.original, made.replacement)
            assert made.text == made.replacement if counted else made.text[2:].strip() == given


def test_attributes_alternate_in_a_fixed_order() -> None:
    first = swaps("a small red striped mug")
    assert [s.attribute for s in first[:3]] == ["size", "color", "pattern"]
    assert swaps("a small red striped mug") == first
    assert len({swaps(f"a red mug {n} thing")[0].replacement for n in range(40)}) > 4


@pytest.mark.parametrize(
    ("text", "some"),
    [
        ("a grey mug", "a blue mug"),
        ("a blue mug made of grey stone", "a blue mug made of black stone"),
        ("a chair made of wood", "a chair made of metal"),
        ("a plastic chair", "a wooden chair"),
        ("a light brown chair", "a blue chair"),
        ("two chairs", "three chairs"),
        ("another chair", "two chairs"),
        ("a box", "four boxes"),
        ("parking lot", "two parking lots"),
        ("an open door", "a closed door"),
        ("the left hand", "the right hand"),
        ("a tall tower", "a low tower"),
        ("an old woman", "a young woman"),
        ("an old barn", "a new barn"),
        ("a white rim on a white mug", "a white rim on a green mug"),
        ("a man in lavender", "a man in green"),
        ("purple lavender", "pink lavender"),
    ],
)
def test_attribute_of_each_kind_is_swapped(text: str, some: str) -> None:
    assert some in _made(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a vase of lavender", "green"),
        ("a rose", "green"),
        ("a leather belt", "glass"),
        ("a wool sweater", "metal"),
        ("a glass bottle", "leather"),
        ("an old barn", "young"),
        ("a brown dog", "yellow"),
        ("green grass", "two"),
        ("left hand", "two"),
        ("chairs", "two"),
        ("two chairs", "single"),
    ],
)
def test_implausible_words_are_not_offered(text: str, word: str) -> None:
    assert not [made for made in _made(text) if word in made.split()]


def test_what_cannot_be_counted_has_no_swaps() -> None:
    assert swaps("sky") == swaps("green")[:0] == []


_ANY = st.text(st.characters(codec="utf-8") | st.sampled_from("aeisİß -,'"), max_size=12)
_KNOWN = st.sampled_from(
    [
        "a",
        "an",
        "the",
        "two",
        "red",
        "light",
        "grey",
        "wooden",
        "glass",
        "mug",
        "mugs",
        "made",
        "of",
        "in",
        "and",
        ",",
        "left",
        "sitting",
        "old",
    ]
)


@given(st.lists(_ANY | _KNOWN, max_size=10))
@settings(max_examples=300, deadline=None)
def test_negatives_of_any_text_are_other_texts(parts: list[str]) -> None:
    text = " ".join(parts)
    made, _ = pick(text, swaps(text), 30)
    assert len({normal(text), *(normal(n.text) for n in made)}) == len(made) + 1
    assert all(n.attribute and n.original in text and n.replacement in n.text for n in made)
