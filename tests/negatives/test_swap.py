"""The rules that a swap must pass, and the text it results in."""

from __future__ import annotations

import re
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.article import article
from finehard.negatives.lexicon import swaps
from finehard.negatives.swap import Swap, check, normal, pick
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
        ("Red mug", "red", "blue", "Blue mug"),
        ("a red mug", "red mug", "blue mug", "a blue mug"),
        ("a red mug", "a red", "an orange", "an orange mug"),
        ("a red mug", "a red mug", "a blue mug", "a blue mug"),
        ("a dark red mug", "dark red", "pale green", "a pale green mug"),
        ("a red-haired man", "red", "black", "a black-haired man"),
        ("a well-worn bag", "well-worn", "brand-new", "a brand-new bag"),
        ("a bag with two buckles", "two", "three", "a bag with three buckles"),
        ("a café-style olive chair", "olive", "blue", "a café-style blue chair"),
        ("İİ red İ mug", "red", "blue", "İİ blue İ mug"),
        ("a red mug with red dots", "red", "blue", "a blue mug with red dots"),
        ("a red mug with red dots", "red dots", "blue dots", "a red mug with blue dots"),
        ("a red mug with a blue rim", "red", "blue", "a blue mug with a blue rim"),
        ("a red mug with two buckles", "two buckles", "one buckle", "a red mug with one buckle"),
        ("a red mug", "a red mug", "three red mugs", "three red mugs"),
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
        ("a red mug with red and blue dots", "red", "blue", "ambiguous"),
        ("a red mug", "mug", "cup", "changes_the_noun"),
        ("a red mug.", "mug", "cup", "changes_the_noun"),
        ("a red mug", "red mug", "blue cup", "changes_the_noun"),
        ("mug", "mug", "cup", "changes_the_noun"),
        ("a red t-shirt", "t", "x", "changes_the_noun"),
        ("a bag with two buckles", "bag", "box", "changes_the_noun"),
        ("a man in a red coat", "man", "woman", "changes_the_noun"),
        ("a red and blue mug", "red", "blue", "already_in_text"),
        ("a dark red mug", "red", "dark blue", "nonsense_shade"),
        ("a mouse made of black plastic", "mouse", "plastic", "changes_the_noun"),
        ("a bucket made of plastic", "made", "built", "changes_the_noun"),
        ("a trash can with a grey body", "trash", "paper", "changes_the_noun"),
        ("a brick building with a clock", "building", "painting", "changes_the_noun"),
        ("a glass filled with water", "glass", "plastic", "changes_the_noun"),
        ("an orange on a plate", "orange", "red", "changes_the_noun"),
        ("a dirty stained shirt", "dirty", "clean", "contradicts_another_word"),
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
    ("text", "original", "replacement", "attribute"),
    [
        ("a red mug", "red", "blue", "color"),
        ("a mouse made of black plastic", "plastic", "metal", "material"),
        ("a striped mug", "striped", "plain", "pattern"),
        ("a round mug", "round", "square", "shape"),
        ("two red mugs", "two", "three", "count"),
        ("a small mug", "small", "large", "size"),
        ("an open door", "open", "closed", "state"),
        ("a noisy street", "noisy", "silent", "state"),
        ("a man sitting on a bench", "sitting", "standing", "action"),
        ("a cat on a table", "on", "under", "position"),
        ("the left hand", "left", "right", "position"),
        ("a black plastic mug", "black plastic", "blue wooden", "color"),
    ],
)
def test_attribute_is_computed_from_the_words(
    text: str, original: str, replacement: str, attribute: str
) -> None:
    made = check(text, Swap("other", original, replacement), ())
    assert isinstance(made, HardNegative) and made.attribute == attribute


@pytest.mark.parametrize("words", ["none", "unknown", "not red", "no color", "large", "Persian"])
def test_words_of_no_or_another_attribute_are_refused(words: str) -> None:
    assert _made("a red mug", "red", words) == "other_attribute"


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


def test_article_before_the_replacement_agrees() -> None:
    assert _made("a red mug", "red", "orange") == "an orange mug"
    assert _made("A red mug", "red", "orange") == "An orange mug"
    assert _made("an orange mug", "orange", "blue") == "a blue mug"
    assert _made("an old mug", "old", "new") == "a new mug"


_WORDS = st.text(
    st.characters(codec="utf-8") | st.sampled_from("aAeuİıßﬁ .-'\u200b\u0301\n"), max_size=8
)


@given(st.data())
@settings(max_examples=500, deadline=None)
def test_negative_differs_in_one_span(data: st.DataObject) -> None:
    known = st.sampled_from(["a", "an", "red", "in", "mug", "mugs", "two", "made", "of", "wood"])
    words = data.draw(st.lists(_WORDS | known, max_size=9))
    text = " ".join(words)
    original = data.draw(st.sampled_from([*words, text, "x"]) | _WORDS)
    replacement = data.draw(
        _WORDS
        | st.sampled_from([*words, "orange", "blue mug", "glass", "three mugs", "dark light"])
    )
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


@pytest.mark.slow
@pytest.mark.parametrize("part", ["a red mug, ", "dark light ", "red and ", "a ", "mug", " "])
def test_time_is_linear_in_the_length_of_the_text(part: str) -> None:
    def seconds(text: str) -> float:
        start = perf_counter()
        pick(text, [Swap("color", "red", color) for color in ("blue", "green", "orange")], 10)
        pick(text, [Swap("color", text, f"{text} blue")], 10)
        pick(text, swaps(text), 10)
        return perf_counter() - start

    seconds(part * 3)
    short, long = (min(seconds(part * n + str(k)) for k in range(3)) for n in (50, 500))
    assert long < 30 * short + 0.05
