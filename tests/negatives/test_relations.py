"""Which pairs of words are too close for a swap."""

from __future__ import annotations

from itertools import combinations

import pytest

from finehard.demo.world import COLORS, PATTERNS
from finehard.negatives.lexicon import WORDS
from finehard.negatives.relations import related, too_close
from finehard.negatives.swap import Swap, check


@pytest.mark.parametrize(
    ("text", "original", "replacement", "rule"),
    [
        ("a gray mug", "gray", "grey", "near_shade"),
        ("a beige mug", "beige", "tan", "near_shade"),
        ("a red mug", "red", "crimson", "near_shade"),
        ("a blue mug", "blue", "dark blue", "near_shade"),
        ("a large mug", "large", "big", "near_shade"),
        ("a cotton bag", "cotton", "fabric", "hypernym"),
        ("a wooden chair", "wooden", "oak", "hypernym"),
        ("a shiny mug", "shiny", "glossy", "synonym"),
        ("a sitting bird", "sitting", "perched", "hypernym"),
        ("a bag with two buckles", "two", "one", "number_disagrees"),
        ("a bag with one buckle", "one", "three", "number_disagrees"),
        ("a red and navy mug", "red", "blue", "said_of_another_word"),
        ("a black mug", "black", "dark grey", "near_shade"),
        ("a navy mug", "navy", "black", "near_shade"),
        ("a light brown mug", "light brown", "beige", "near_shade"),
        ("a light brown mug", "brown", "yellow", "near_shade"),
        ("a light brown mug", "brown", "black", "nonsense_shade"),
        ("a mug", "mug", "cup", "changes_the_noun"),
        ("a dark blue mug", "dark", "red", "other_attribute"),
        ("a polka dot dress", "polka dot", "dotted", "near_shade"),
        ("a striped dress", "striped", "stripe", "near_shade"),
        ("a reddish-brown coat", "reddish-brown", "red", "near_shade"),
        ("a man running", "running", "jogging", "not_exclusive"),
        ("a man holding a bag", "holding", "carrying", "not_exclusive"),
        ("a dirty mug", "dirty", "broken", "not_exclusive"),
        ("a cotton shirt", "cotton", "linen", "near_shade"),
        ("a mug made of plastic", "plastic", "wooden", "wrong_form"),
        ("a black and white photo", "black and white", "monochrome", "near_shade"),
        ("a colorful kite", "colorful", "red and yellow", "near_shade"),
    ],
)
def test_swap_that_may_be_true_is_refused(
    text: str, original: str, replacement: str, rule: str
) -> None:
    assert check(text, Swap("other", original, replacement), ()) == rule


@pytest.mark.parametrize(
    ("text", "original", "replacement"),
    [
        ("a light blue mug", "light blue", "dark blue"),
        ("a dark blue mug", "dark blue", "dark green"),
        ("a bag with two buckles", "two", "three"),
        ("a cotton bag", "cotton", "leather"),
        ("a wool hat", "wool", "velvet"),
        ("a standing man", "standing", "sitting"),
        ("a parked car", "parked", "moving"),
        ("an open door", "open", "closed"),
        ("a curly dog", "curly", "straight"),
        ("a light blue mug", "light", "dark"),
        ("a white mug", "white", "gray"),
        ("a small red mug", "small", "large"),
    ],
)
def test_exclusive_words_are_accepted(text: str, original: str, replacement: str) -> None:
    assert not isinstance(check(text, Swap("other", original, replacement), ()), str)


def test_lexicon_and_demo_words_exclude_each_other() -> None:
    for words in (*WORDS.values(), COLORS, PATTERNS):
        assert [pair for pair in combinations(words, 2) if too_close(*pair)] == []


def test_related_is_symmetric() -> None:
    words = [
        "gray",
        "grey",
        "scarlet",
        "red",
        "perched",
        "sitting",
        "shiny",
        "glossy",
        "fabric",
        "cotton",
        "navy",
        "mug",
    ]
    for one, other in combinations(words, 2):
        assert related(one, other) == related(other, one)
