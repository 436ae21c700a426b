"""Additions and relations: false details and relations turned round, where configured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.config import as_dict, load_config
from finehard.errors import UsageError
from finehard.negatives import Negatives, NegativesConfig
from finehard.negatives.other_kinds import MOST, additions, relations
from finehard.records import sample_json
from tests.pictures import record, region


def test_additions_name_no_object_of_the_image() -> None:
    scene = record(region("a red mug"), long_caption="A cat and two umbrellas beside a mug.")
    made = additions(scene, "a red mug")
    assert len(made) == MOST and all(n.attribute == "addition" for n in made)
    for negative in made:
        assert negative.text.startswith("a red mug ") and negative.replacement == negative.text
    every = {n.text for k in range(200) for n in additions(scene, f"a mug {k}")}
    assert not any("umbrella" in text or " cat" in text for text in every)


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("a cat on a table", ["a cat under a table"]),
        ("a man riding a horse", ["a horse riding a man"]),
        ("A brown dog chasing a cat", ["A cat chasing a brown dog"]),
        ("a mug to the left of the bowl", ["a mug to the right of the bowl"]),
        ("a cup behind a bowl", ["a cup in front of a bowl", "a bowl behind a cup"]),
        ("a red mug", []),
        ("a man holding a dog and a cat", []),
    ],
)
def test_relations_are_turned_round(text: str, turned: list[str]) -> None:
    assert [n.text for n in relations(text)] == turned


@given(st.text(max_size=60))
def test_wild_texts_make_valid_negatives_or_none(text: str) -> None:
    for negative in [*relations(text), *additions(record(region("a mug")), text or "a")]:
        assert negative.text and negative.text != text


def test_other_kinds_take_the_place_of_the_last_swaps() -> None:
    kinds = ("attributes", "additions", "relations")
    config = NegativesConfig(backend="lexicon", kinds=kinds, per_region=6)
    made = Negatives.make(config).apply(record(region("a red mug on a white table")))  # type: ignore[attr-defined]
    named = [n.attribute for n in made.regions[0].hard_negatives]
    assert len(named) == 6 and named[-3:] == ["addition", "addition", "relation"]
    assert sample_json(made, {})["schema_version"] == "1.1"


def test_without_other_kinds_nothing_changes() -> None:
    made = Negatives.make(NegativesConfig(backend="lexicon")).apply(record(region("a red mug")))  # type: ignore[attr-defined]
    assert sample_json(made, {})["schema_version"] == "1.0"
    assert "kinds" not in as_dict(load_config("configs/demo.yaml"))["negatives"]


def test_kinds_without_attributes_are_refused() -> None:
    with pytest.raises(UsageError, match="negatives.kinds"):
        Negatives(NegativesConfig(kinds=("additions",)))
