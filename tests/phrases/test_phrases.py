"""The wording of phrases, and what each rule drops."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.demo import world
from finehard.errors import UsageError
from finehard.phrases import MAX_CHARS, PhrasesConfig, extractor, identity

EXTRACT = extractor(PhrasesConfig(backend="wordnet"))


def texts(caption: str) -> list[str]:
    return [p.text for p in EXTRACT(caption).phrases]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (
            "A red mug and a blue plate stand on the table.",
            ["a red mug", "a blue plate", "a table"],
        ),
        ("The two brown cats sleep.", ["two brown cats"]),
        ("She wears a pair of shoes.", ["a pair of shoes"]),
        ("He drinks a glass of water.", ["a glass of water"]),
        ("A dark blue mug is full.", ["a dark blue mug"]),
        ("A sleeping dog is near a striped sofa.", ["a sleeping dog", "a striped sofa"]),
        ("The dog's collar is blue.", ["a dog's collar"]),
        ("A black and white dog barks.", ["a black and white dog"]),
        ("A large, fluffy cat sits.", ["a large, fluffy cat"]),
        ("The half-open doors creak.", ["half-open doors"]),
        ("The other umbrella is open.", ["the other umbrella"]),
        ("A mug is here. Another mug is red.", ["a mug", "another mug"]),
        ("The two rows of parking spaces are full.", ["two rows of parking spaces"]),
        ("There are four different kinds of buns.", ["four different kinds of buns"]),
        ("A range of mountains rises here.", ["a range of mountains"]),
        ("A small, metal box stands here.", ["a small, metal box"]),
        ("A large, glowing sign hangs here.", ["a large, glowing sign"]),
        (
            "The orange, yellow, and red maple leaves fall.",
            ["orange, yellow, and red maple leaves"],
        ),
        ("It has a brick and stone wall.", ["a brick and stone wall"]),
        ("She wears black and white cycling shorts.", ["black and white cycling shorts"]),
        ("Two vintage type 2 vans are here.", ["two vintage type 2 vans"]),
        ("Four all-white cement mixing trucks stand.", ["four all-white cement mixing trucks"]),
        ("A view of 3 empty paint cans placed here.", ["3 empty paint cans"]),
        ("A cat sits on a light brown wooden floor.", ["a cat", "a light brown wooden floor"]),
        ("A view of pigs beside a round metal stand.", ["pigs", "a round metal stand"]),
        ("It stands beside a light tan parking garage.", ["a light tan parking garage"]),
        ("A building features a glass door.", ["a building", "a glass door"]),
        ("The image showcases a dog.", ["a dog"]),
        ("A bowl of whipped cream is here.", ["a bowl of whipped cream"]),
        ("The hourglass stands by the utility pole.", ["an hourglass", "a utility pole"]),
        ("There is a variety of fruits on the tray.", ["fruits", "a tray"]),
        ("The water is calm.", ["water"]),
        ("He is wearing jeans.", ["jeans"]),
    ],
)
def test_phrase_has_an_indefinite_article_or_a_number(caption, expected):
    assert texts(caption) == expected


def test_every_demo_object_is_extracted():
    sizes = ("", *(s for s in world.SIZES if s != "medium"))
    for size, color, pattern, kind in itertools.product(
        sizes, world.COLORS, world.PATTERNS, world.KINDS
    ):
        name = " ".join(w for w in (size, color, pattern, kind) if w)
        article = "an" if name[0] in "aeiou" else "a"
        found = EXTRACT(
            f"There is {article} {name} on the wooden table. The light is soft."
        ).phrases
        assert [(p.text, p.head) for p in found] == [
            (f"{article} {name}", kind),
            ("a wooden table", "table"),
        ]


@pytest.mark.parametrize("color", world.COLORS)
@pytest.mark.parametrize("kind", world.KINDS)
def test_subject_is_separated_from_the_verb(color, kind):
    found = texts(f"The small {color} {kind} stands behind a white ball.")
    assert found == [f"a small {color} {kind}", "a white ball"]


@pytest.mark.parametrize(
    ("caption", "rule"),
    [
        ("The smaller one runs.", "pronoun"),
        ("A high vantage point looking downwards.", "ungroundable"),
        ("She has great courage.", "abstract"),
        ("A larger that appears to have wheels.", "lost_noun"),
        ("There are no cars.", "absent"),
        ("A man sits on a red", "truncated"),
        ("A man holds a red bag and a leather", "truncated"),
        ("A red mug stands here. The mug is full.", "duplicate"),
        ("A golden retriever sleeps. The dog is old.", "named_again"),
        ("A white sailboat passes. The boat is fast.", "named_again"),
        ("Two women chat. The girl smiles.", "named_again"),
        ("Two men wave. His companion laughs.", "named_again"),
        ("A canoe lies on a river. The water is calm.", "named_again"),
        ("Three children sit in a classroom.", "place"),
        ("The photo shows a busy street corner.", "place"),
        ("A desk stands in what appears to be a hotel lobby.", "place"),
        ("He grips a red mug in one hand.", "position"),
        ("A lamp burns on the upper floor.", "position"),
        ("A red bag adds a pop of color.", "ungroundable"),
        ("A medium shot of a dog.", "ungroundable"),
        ("A low-angle, close-up shot of a dog.", "ungroundable"),
        ("The viewer's eye is drawn to a dog.", "ungroundable"),
        ("An otherwise monochromatic design.", "ungroundable"),
        ("He is outside the city area.", "ungroundable"),
        ("A light shines from an unseen lamp.", "absent"),
        ("The driver cannot be seen.", "absent"),
        ("They take it apart in order to replace the batteries.", "interpretation"),
        ("A box is used for storing tools.", "interpretation"),
        ("There might be a dog.", "interpretation"),
        ("Two people, a man and a woman, sit here.", "named_again"),
        ("A marble countertop is here. The counter is clean.", "named_again"),
        ("He kicks the ball with his right foot.", "position"),
        ("A goat stands on the slope.", "setting"),
        ("In the water, a dog swims.", "setting"),
        ("A hand dusted with flour reaches out.", "substance"),
        ("Everything looks clean and tidy.", "bare_singular"),
        ("The apron is stained with oil.", "substance"),
        ("A cat sleeps at the foot of the bed.", "part_of"),
        ("The tower looks like a toy on a table.", "comparison"),
        ('A sign reads "Fresh bread and coffee".', "written"),
        ("The carpet is light brown.", "bare_singular"),
        ("A ladder made of ropes hangs here.", "material"),
        ("A poster hangs on the wall.", "setting"),
        ("A cat sits at the top of the stairs.", "whole"),
        ("A man walks his dog in the park.", "place"),
        ("There are no people or boats in sight.", "absent"),
        ("The room is tidy, suggesting a hotel.", "interpretation"),
        (
            "A big old red wooden round shiny dusty cracked dark garden table stands here.",
            "too_long",
        ),
        ("The description is factual and does not include any subjective views.", "boilerplate"),
        ("The overall mood of the picture is as calm as a sleeping dog.", "boilerplate"),
    ],
)
def test_rule_drops_and_is_counted(caption, rule):
    assert EXTRACT(caption).dropped.get(rule)


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        ("A poster hangs on a brick wall.", "a brick wall"),
        ("It stands on a vintage wooden rocking horse.", "a vintage wooden rocking horse"),
        ("He wears a slate grey, slim-fitting suit.", "a slate grey, slim-fitting suit"),
        ("A river cuts through a dense forest ablaze with color.", "a dense forest"),
        ("They have a checkered blanket spread on the grass.", "a checkered blanket"),
        ("There is a food stand whose menu is long.", "a food stand"),
        ("The centerpiece of this composition is a grand piano.", "a grand piano"),
        ("The wing of the airplane is visible.", "a wing"),
        ("A statue of a monk stands here.", "a statue"),
        ("The sky is blue.", "sky"),
        ("A large parking lot is here.", "a large parking lot"),
        ("It is beside a residential area.", "a residential area"),
        ("The bowl has a floral pattern.", "a floral pattern"),
        ("Below the clock is green text.", "green text"),
        ("A dog with white markings barks.", "white markings"),
        ("He turns the pages.", "pages"),
        ("The sign has Chinese characters.", "chinese characters"),
        ("He grips a racket with his right hand.", "a right hand"),
        ("A worker waves. A second worker waits.", "a second worker"),
        ("One hand waves. The other hand rests.", "the other hand"),
        ("It has dark walls and light supports.", "light supports"),
        ("A floor with dirt on its surface.", "dirt"),
        ("A vase stands there, possibly rural, with a dog.", "a dog"),
        ("A cat sits on the wooden stairs.", "wooden stairs"),
        ("A wooden bench stands in front of the park gate.", "a park gate"),
        ("A dog without a collar pulls a blue leash.", "a blue leash"),
        ("A woman without wearing a hat, holding a bag.", "a bag"),
        ("A golden retriever sleeps. The black dog barks.", "a black dog"),
        ("The sign suggests a shop. A woman waits.", "a woman"),
        ("A woman waves. The man sits.", "a man"),
        ("A dog waits beside a corner shop.", "a corner shop"),
        ("A man holds a mug with one hand on a rail.", "one hand"),
        ("A goat stands on the steep slope.", "a steep slope"),
        ("A bowl is filled with soup.", "soup"),
        ("In the distance, rolling hills and a barn can be made out.", "rolling hills"),
        ("Lily pads, some bearing pink flowers, lie on a pond.", "pink flowers"),
        ("A sack of flour stands here.", "a sack of flour"),
        ("A bowl holds what looks like a ripe mango.", "a ripe mango"),
        ("The bread is soft, and a jar of jam stands beside it.", "bread"),
    ],
)
def test_rules_do_not_drop_similar_phrases(caption, kept):
    assert kept in [phrase.text for phrase in EXTRACT(caption).phrases]


def test_phrases_over_the_limit_are_counted():
    extract = extractor(PhrasesConfig(backend="wordnet", max_phrases=2))
    found = extract("A mug, a plate, a lamp and a ball are on the table.")
    assert [p.text for p in found.phrases] == ["a mug", "a plate"]
    assert {rule: len(what) for rule, what in found.dropped.items()} == {"over_limit": 3}


@pytest.mark.parametrize(
    ("caption", "long"),
    [
        (
            "A brown leather bag hanging from the chair is open.",
            "a brown leather bag hanging from the chair",
        ),
        ("A mug with a blue stripe, which is full.", "a mug with a blue stripe"),
        ("A table covered with a white cloth stands here.", "a table covered with a white cloth"),
        ("A mug stands on the table.", "a mug"),
        ("A mug on the shelf and a plate.", "a mug on the shelf"),
    ],
)
def test_long_adds_modifiers_of_the_noun(caption, long):
    assert EXTRACT(caption).phrases[0].long == long


def test_long_leaves_out_modifiers_of_the_verb():
    bag = EXTRACT("She holds a bag in her hand.").phrases[0]
    assert (bag.text, bag.long) == ("a bag", "a bag")


def test_offsets_refer_to_the_caption():
    caption = "  Near 😀 the old door,\n\tthe boy's red hat."
    spans = [caption[p.start : p.end] for p in EXTRACT(caption).phrases]
    assert spans == ["the old door", "the boy's red hat"]


WORDS = """a the of and 's ' - , . no one to red mug stands that her black \u202e \u200f 😀 \n of
İ ﬁ dog's well- & 3 3.5 pair ß holding painted"""
SENTENCES = st.lists(st.sampled_from(WORDS.split(" ")), max_size=40).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=300), SENTENCES))
def test_any_text_gives_valid_phrases(text):
    found = EXTRACT(text)
    assert found == EXTRACT(text)
    assert len({p.text.lower() for p in found.phrases}) == len(found.phrases) <= 20
    for p in found.phrases:
        assert 0 <= p.start < p.end <= len(text)
        assert p.text.strip() == p.text != ""
        assert p.head
        assert p.long.startswith(p.text)
    assert all(found.dropped.values())


@pytest.mark.parametrize(
    "part",
    ["red, ", "a red, ", "a red and ", "dog of ", "a of ", "two dogs, a man and a ", "not like ",
     "the dog's ", "view up ", "light of the "],
)  # fmt: skip
def test_time_is_linear_in_the_length(part: str) -> None:
    def seconds(text: str) -> float:
        start = time.process_time()
        EXTRACT(text)
        return time.process_time() - start

    short = part * (2_000 // len(part))
    seconds(short)
    least, most = (min(seconds(text) for _ in range(3)) for text in (short, short * 8))
    assert most < 32 * least + 0.1


def test_long_caption_is_truncated():
    text = "A dog. " * MAX_CHARS
    assert len(EXTRACT(text).dropped["duplicate"]) < MAX_CHARS / 6


def test_identity_depends_on_the_settings_only():
    one = identity(PhrasesConfig(backend="wordnet"))
    assert one == identity(PhrasesConfig(backend="wordnet"))
    assert one["backend"] == "wordnet" and one["version"].startswith("3.0-")
    assert one != identity(PhrasesConfig(backend="wordnet", max_phrases=3))


def test_invalid_settings_are_reported_at_once():
    with pytest.raises(UsageError, match="backend"):
        extractor(PhrasesConfig(backend="nltk"))
    with pytest.raises(UsageError, match="no_such_model"):
        extractor(PhrasesConfig(backend="spacy", spacy_model="no_such_model"))
    with pytest.raises(UsageError, match="max_phrases"):
        identity(PhrasesConfig(max_phrases=0))


def test_adjective_of_degree_is_not_a_phrase() -> None:
    found = extractor(PhrasesConfig(backend="wordnet"))(
        "On the left there is a red striped mug, quite small. Next to it is a bowl, rather large."
    )
    assert [phrase.text for phrase in found.phrases] == ["a red striped mug", "a bowl"]


def test_man_does_not_refer_back_to_woman() -> None:
    assert texts("A woman waves. The man sits.") == ["a woman", "a man"]


def test_negation_ends_with_its_phrase() -> None:
    assert texts("A man not wearing a hat stands next to a car.") == ["a man", "a car"]


def test_word_after_a_plural_is_the_verb() -> None:
    assert texts("A sofa with two cushions faces a table.")[1:] == [
        "two cushions",
        "a table",
    ]
