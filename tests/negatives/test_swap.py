"""The rules that a swap must pass, and the text it results in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.article import article
from finehard.negatives.swap import Swap, check, normal
from finehard.records import HardNegative


def _made(text: str, original: str, replacement: str) -> str:
    """Returns the negative's text, or the rule that is broken."""
    made = check(text, Swap("color", original, replacement), ())
    return made if isinstance(made, str) else made.text


@pytest.mark.parametrize(
    ("text", "original", "replacement", "made"),
    [
        ("a red mug", "red", "blue", "a blue mug"),
        ("a red mug", " red. ", "'blue!'", "a blue mug"),
        ("a red mug", "RED", "blue", "a blue mug"),
        ("a red mug", "Red", "Blue", "a blue mug"),
        ("a red mug", "red", "Persian", "a Persian mug"),
        ("Red mug", "red", "blue", "Blue mug"),
        ("a red mug", "red mug", "blue mug", "a blue mug"),
        ("a red mug", "a red", "an orange", "an orange mug"),
        ("a red mug", "a red mug", "a blue mug", "a blue mug"),
        ("a dark red mug", "dark red", "pale green", "a pale green mug"),
        ("a red-haired man", "red", "dark", "a dark-haired man"),
        ("a well-worn bag", "well-worn", "brand-new", "a brand-new bag"),
        ("a bag with two buckles", "two", "three", "a bag with three buckles"),
        ("a café-style olive-grün chair", "olive-grün", "blue", "a café-style blue chair"),
        ("İİ red İ mug", "red", "blue", "İİ blue İ mug"),
        ("a red  mug", "red", "blue", "a blue  mug"),
        ("a very red mug", "red", "orange", "a very orange mug"),
        ("two red mugs near a apple tree", "red", "blue", "two blue mugs near a apple tree"),
    ],
)
def test_swap_changes_only_its_words(text: str, original: str, replacement: str, made: str) -> None:
    assert _made(text, original, replacement) == made


@pytest.mark.parametrize(
    ("text", "original", "replacement", "rule"),
    [
        ("a red mug", "red", "red", "no_change"),
        ("a red mug", "red", " RED. ", "no_change"),
        ("a red mug", "red", "r\u200bed", "no_change"),
        ("a red mug", "red", "ｒｅｄ", "no_change"),
        ("a café mug", "café", "cafe\u0301", "no_change"),
        ("a red mug", "red", "...", "no_change"),
        ("a red mug", "red", "-- 😀", "not_words"),
        ("a red mug", "blue", "green", "original_not_in_text"),
        ("a reddish mug", "red", "blue", "original_not_in_text"),
        ("a red_mug thing", "red", "blue", "original_not_in_text"),
        ("a red mug", "", "blue", "original_not_in_text"),
        ("a red mug", ".*", "blue", "original_not_in_text"),
        ("a red mug with red dots", "red", "blue", "original_twice_in_text"),
        ("a red red-hot mug", "red", "blue", "original_twice_in_text"),
        ("a red mug", "mug", "cup", "changes_the_noun"),
        ("a red mug.", "mug", "cup", "changes_the_noun"),
        ("a red mug", "red mug", "blue cup", "changes_the_noun"),
        ("mug", "mug", "cup", "changes_the_noun"),
        ("a red t-shirt", "t", "x", "changes_the_noun"),
        ("a bag with two buckles", "bag", "box", "changes_the_noun"),
        ("a man in a red coat", "man", "woman", "changes_the_noun"),
        ("a red and blue mug", "red", "blue", "already_in_text"),
        ("a dark red mug", "red", "dark blue", "already_in_text"),
    ],
)
def test_broken_rule_is_returned(text: str, original: str, replacement: str, rule: str) -> None:
    assert _made(text, original, replacement) == rule


def test_equal_negative_is_a_duplicate() -> None:
    kept = [HardNegative("a Blue mug", "color", "red", "Blue")]
    assert check("a red mug", Swap("color", "red", "blue"), kept) == "duplicate"
    assert check("a red mug", Swap("color", "red", "green"), kept) != "duplicate"


def test_negative_records_the_words_of_the_text() -> None:
    made = check("A Red mug", Swap("color", "a red", "an orange"), ())
    assert made == HardNegative("An Orange mug", "color", "Red", "Orange", None)


@pytest.mark.parametrize(
    "words",
    re.split(
        r"\s+",
        "hour-long honest heirloom orange apple umbrella unlit unidentified unimportant usher "
        "utter urban upright onerous éclair X-ray L-shaped 8-bit 11-year 18th 80 LED SUV",
    ),
)
def test_an_before_vowel_sounds(words: str) -> None:
    assert article(words) == "an"
    assert _made("a red mug", "red", words).startswith("an ")
    assert _made("A red mug", "red", words).startswith("An ")


@pytest.mark.parametrize(
    "words",
    re.split(
        r"\s+",
        "uniform unique one-eyed once-white European used useful utility urinal ukulele UFO USB "
        "U-shaped T-shirt house honey blue 1 110 7-foot",
    ),
)
def test_a_before_consonant_sounds(words: str) -> None:
    assert article(words) == "a"
    assert _made("an orange mug", "orange", words).startswith("a ")


_WORDS = st.text(
    st.characters(codec="utf-8") | st.sampled_from("aAeuİıßﬁ .-'\u200b\u0301\n"), max_size=8
)


@given(st.data())
@settings(max_examples=500, deadline=None)
def test_negative_differs_in_one_span(data: st.DataObject) -> None:
    words = data.draw(st.lists(_WORDS | st.sampled_from(["a", "an", "red", "in"]), max_size=7))
    text = " ".join(words)
    original = data.draw(st.sampled_from([*words, text, "x"]) | _WORDS)
    replacement = data.draw(_WORDS | st.sampled_from([*words, "orange", "blue mug"]))
    made = check(text, Swap("color", original, replacement), ())
    if isinstance(made, str):
        return
    assert normal(made.text) != normal(text)
    assert made.text.count(made.replacement) >= 1 and made.original in text
    # the text before and after the swapped words is the same, apart from an article before them
    places = [n for n in range(len(text)) if text.startswith(made.original, n)]
    sides = [(text[:n], text[n + len(made.original) :]) for n in places]
    before_made = [n for n in range(len(made.text)) if made.text.startswith(made.replacement, n)]
    sides_made = [(made.text[:n], made.text[n + len(made.replacement) :]) for n in before_made]
    assert any(
        after == after_made
        and (before == before_made or before.split()[:-1] == before_made.split()[:-1])
        for before, after in sides
        for before_made, after_made in sides_made
    )
