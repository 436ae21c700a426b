"""Hard negatives from the lexicon."""

from finehard.negatives.lexicon import WORDS, swaps
from finehard.negatives.swap import check


def test_every_swap_changes_the_word_it_names() -> None:
    text = "a small red striped mug"
    made = [check(text, swap, []) for swap in swaps(text)]
    assert len(made) == 1 + 10 + 3
    for negative in made:
        assert not isinstance(negative, str)
        assert negative.text.split(" ", 1)[1] == text[2:].replace(
            negative.original, negative.replacement
        )
        assert negative.replacement in WORDS[negative.attribute]


def test_attributes_alternate_in_a_fixed_order() -> None:
    first = swaps("a small red striped mug")
    assert [s.attribute for s in first[:3]] == ["color", "pattern", "size"]
    assert swaps("a small red striped mug") == first
    assert len({swaps(f"a red mug {n} thing")[0].replacement for n in range(40)}) > 4


def test_text_without_attribute_words_has_no_swaps() -> None:
    assert swaps("a mug") == []
