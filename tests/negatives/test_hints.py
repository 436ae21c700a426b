"""The words that a model is asked to replace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.negatives.hints import MOST, Hint, hints, line


def test_swaps_are_spread_over_the_attribute_words() -> None:
    assert hints("a large red striped mug", 12) == [
        Hint("large", "size", 3),
        Hint("red", "color", 5),
        Hint("striped", "pattern", 4),
    ]


def test_no_more_is_asked_for_than_an_attribute_has() -> None:
    assert hints("a large mug", 12) == [Hint("large", "size", 3)]


def test_the_name_of_the_object_is_no_hint() -> None:
    assert hints("a white glass", 12) == [Hint("white", "color", 12)]


def test_a_word_that_stands_twice_is_named_once() -> None:
    assert hints("a red mug with a Red, round handle", 4) == [
        Hint("red", "color", 2),
        Hint("round", "shape", 2),
    ]


@pytest.mark.parametrize("text", ["a mug", "", "...", "mug"])
def test_a_text_without_known_words_gets_no_hints(text: str) -> None:
    assert line(text, 7) == f"{text} | any property: 7"


@given(st.text() | st.text(alphabet="red largemu|,: "), st.integers(1, 40))
def test_hints_never_ask_for_more_than_wanted(text: str, count: int) -> None:
    made = hints(text, count)
    assert sum(hint.replacements for hint in made) <= count
    assert all(0 < hint.replacements <= MOST[hint.attribute] for hint in made)
    assert "\n" not in line(text, count) or "\n" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a mouse made of black plastic", ["black", "plastic"]),
        ("a dark blue bowl", ["blue"]),
        ("a dark jacket", ["dark"]),
        ("two dogs running on wet sand", ["two", "running", "wet"]),
        ("a glass of milk", []),
        ("a cup behind a wooden fence", ["wooden"]),
    ],
)
def test_hints_are_words_that_the_rules_allow_to_swap(text: str, words: list[str]) -> None:
    assert [hint.word for hint in hints(text, 12)] == words
