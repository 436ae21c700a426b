"""False versions of captions and long expressions: made, asked about, written, and off by
default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.config import as_dict, parse_config
from finehard.errors import UsageError
from finehard.negatives.details import Details, kinds_of
from finehard.negatives.falsehood import additions
from finehard.negatives.half_truths import HalfTruths, HalfTruthsConfig, MadeHalfTruths
from finehard.negatives.turned import turned
from finehard.pipeline import load_pipeline, make_stages
from finehard.records import WHOLE, Record, sample_json
from finehard.schemas import why_invalid
from tests.pictures import record, region

LONG = "A cat sits on a wooden table. A lamp stands on the left side of the image."
ALL = ("short_caption", "long_caption", "long_expr")


def scene() -> Record:
    regions = (region("a cat", "a cat on a wooden table"), region("a lamp"))
    return record(*regions, short_caption="A cat on a table.", long_caption=LONG)


def rows(made: Any) -> list[dict[str, Any]]:
    assert isinstance(made, Record)
    return list(made.extra["half_truths"])


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("A cat sits on a wooden table.", {"under"}),
        ("There is a mug in front of a bowl.", {"behind"}),
        ("A man riding a horse with a saddle.", {"A horse riding a man"}),
        ("A mug is to the left of the bowl.", {"right"}),
        ("The dog is on the left side of the image.", {"right"}),
    ],
)
def test_relations_in_sentences_are_turned(text: str, changes: set[str]) -> None:
    made = turned(text, 9)
    assert {one.replacement for one in made} >= changes
    assert all(one.attribute == "relation" and one.replacement in one.text for one in made)


@pytest.mark.parametrize(
    "text",
    [
        "A woman walks on a sunny day.",
        "The logo is on the side.",
        "The cup is not on the table.",
        "It might be a cat on a table.",
        "One lamp is on the left and another one is on the right.",
        "A woman in a red coat is holding a small umbrella.",
        "A man raises his left hand.",
        "A bus left the stop.",
        "A can is above a sink. Two more cans are empty.",
        "A can is above a sink. Another can is empty.",
    ],
)
def test_what_may_stay_true_is_not_turned(text: str) -> None:
    assert not turned(text, 9)


def test_details_are_of_no_kind_that_a_text_names() -> None:
    details = Details()
    named = kinds_of(["A poodle beside two wine bottles and a sofa on a bicycle path."])
    drawn = {text for n in range(300) for text in details.drawn(named, str(n), 3)}
    assert len(drawn) > 50
    for word in ("dog", " cat", "horse", "bottle", "vase", "chair", "bicycle", "taxi"):
        assert not any(word in text for text in drawn), word


def test_details_of_one_text_are_of_different_kinds() -> None:
    for n in range(200):
        first, second = Details().drawn(frozenset(), str(n), 2)
        assert kinds_of([first]).isdisjoint(kinds_of([second]) - {"a", "an", "of", "red", "white"})


def test_details_come_from_another_dataset(tmp_path: Path) -> None:
    texts = ["a red kayak", "a wall", "two kayaks", "a man", "a green lantern", "a red kayak"]
    table = pa.table({"short_expr": texts, "verified": [True, True, True, True, False, None]})
    pq.write_table(table, tmp_path / "regions.parquet")
    details = Details(str(tmp_path / "regions.parquet"))
    assert details.drawn(frozenset(), "a", 5) == ["a red kayak"]
    (tmp_path / "own.txt").write_text("a red kayak\n\na green lantern.\n")
    drawn = Details(str(tmp_path / "own.txt")).drawn(frozenset(), "a", 5)
    assert sorted(drawn) == ["a green lantern", "a red kayak"]


@pytest.mark.parametrize(
    ("name", "data"), [("no.txt", None), ("a.parquet", b"x"), ("b.txt", b"the walls\n"),
                       ("c.txt", b"\xff")]
)  # fmt: skip
def test_unusable_details_are_one_line(tmp_path: Path, name: str, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=r"^half_truths\.details: .*" + name):
        Details(str(tmp_path / name))


def test_an_addition_stands_in_a_sentence_that_states_something() -> None:
    text = "There may be a cat. A lamp stands on a table. It is not red."
    [made] = additions(text, ["a red kite"])
    assert made.text.startswith("There may be a cat. A lamp stands on a table")
    assert made.text.endswith(". It is not red.") and "a red kite" in made.text
    assert made.replacement in made.text and made.original in text
    assert not additions("There may be a cat. It is not red.", ["a red kite"])


def test_a_true_detail_takes_the_same_place() -> None:
    [made] = additions("A lamp stands on a table.", ["a red kite"], ["a lamp", "a cup"])
    assert made.true in (made.text.replace("a red kite", one) for one in ("a lamp", "a cup"))


def test_one_question_asks_about_each_change_once() -> None:
    stage = HalfTruths.make(HalfTruthsConfig(texts=ALL, per_text=1))  # type: ignore[arg-type]
    assert isinstance(stage, HalfTruths)
    [ask] = stage.questions(scene())
    assert ask.views == (WHOLE,) and "a cat under a wooden table" in ask.text
    count = ask.text.count("\n") - 1
    made = rows(stage.answer(scene(), [{str(n): 0.1 for n in range(1, count + 1)}]))
    assert {row["of"] for row in made} == set(ALL)
    assert {row["attribute"] for row in made} == {"addition", "relation"}
    assert all(row["verified"] is True and row["claim"] for row in made)
    assert {row["region"] for row in made} == {None, 0, 1}


def test_what_the_model_finds_true_is_left_out_or_marked() -> None:
    for policy, left in (("drop", 0), ("mark", 2)):
        config = HalfTruthsConfig(("long_caption",), ("additions",), policy=policy)  # type: ignore[arg-type]
        stage = HalfTruths(config)
        made = stage.answer(scene(), [{"1": 0.9}])
        assert isinstance(made, Record)
        assert made.dropped["half_truths.negative_true"].number == 2
        found = made.extra.get("half_truths", [])
        assert [row["verified"] for row in found] == [False] * left


def test_samples_with_half_truths_follow_the_contract() -> None:
    stage = HalfTruths.make(HalfTruthsConfig(texts=ALL, policy="skip"))  # type: ignore[arg-type]
    assert isinstance(stage, MadeHalfTruths) and stage.model is None
    made = stage.apply(scene())
    assert made == stage.apply(scene()) and made.regions == scene().regions
    assert all(row["verified"] is None for row in rows(made))
    sample = sample_json(made, {})
    assert sample["schema_version"] == "1.1"
    sample["image"].update(width=9, height=9, format="jpg", sha256="0" * 64)
    assert why_invalid(sample, "sample") is None


def test_without_texts_there_is_no_such_stage() -> None:
    config = parse_config({"models": {"lmm": _MODEL, "llm": _MODEL}}, "test")
    assert "half_truths" not in [s.name for s in make_stages(load_pipeline(), config)]
    assert "half_truths" not in as_dict(config)
    on = {"models": {"lmm": _MODEL, "llm": _MODEL}, "half_truths": {"texts": ["long_caption"]}}
    assert "half_truths" in [s.name for s in make_stages(load_pipeline(), parse_config(on, "t"))]


_MODEL = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}


@given(st.text(max_size=80))
def test_any_text_becomes_another_or_none(text: str) -> None:
    for made in [*turned(text, 3), *additions(text, ["a red kite"])]:
        assert made.text != text and made.replacement in made.text and made.claim
