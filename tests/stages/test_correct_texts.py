"""Region texts that are untrue are written anew, and what cannot be is left out."""

from __future__ import annotations

from typing import Any

import pytest

from finehard.records import HardNegative, Record, Region
from finehard.stages.correct_texts import CorrectTexts
from finehard.stages.stage import AverageImage, Limits
from finehard.stages.verify import VerifyConfig
from tests.pictures import record, region

_NEGATIVE = HardNegative("a blue mug", "color", "red", "blue", True)


def _region(short: str, verified: bool, **fields: Any) -> Region:
    return region(short, f"{short} on a table", verified=verified, **fields)


def _record() -> Record:
    return record(
        _region("a red mug", False, hard_negatives=(_NEGATIVE,)),
        _region("a bag", True),
        _region("a lamp", False),
    )


def _stage() -> CorrectTexts:
    return CorrectTexts(VerifyConfig(policy="correct"))


def _answered(*values: Any) -> Record:
    return _stage().answer(_record(), values)


def _texts(name: str, caption: str) -> dict[str, str]:
    return {"name": name, "caption": caption}


def test_one_question_has_the_untrue_regions_with_their_cut_outs() -> None:
    [ask] = _stage().questions(_record())
    first, _, third = (r.box for r in _record().regions)
    assert ask.views == (first, third)
    assert "\n1. a red mug | a red mug on a table\n2. a lamp | a lamp on a table\n" in ask.text
    reply = {n: _texts("a pink mug", "a pink mug here") for n in "12"}
    assert ask.schema.why_invalid(reply) is None
    assert ask.schema.why_invalid({"1": reply["1"]}) is not None
    assert not _stage().questions(record(_region("a bag", True)))


def test_questions_have_no_more_regions_than_the_server_takes() -> None:
    stage = _stage()
    stage.limits = Limits(1)
    asks = stage.questions(_record())
    assert [len(ask.views) for ask in asks] == [1, 1]
    new = {"1": _texts("a pink vase", "a pink vase on a shelf")}
    made = stage.answer(_record(), [new, new])
    assert [r.short_expr for r in made.regions] == ["a pink vase", "a bag", "a pink vase"]


def test_new_texts_are_in_the_old_places_and_not_verified() -> None:
    made = _answered(
        {
            "1": _texts("a pink\n mug.", "a pink mug on a shelf."),
            "2": _texts("a tall lamp", "a lamp"),
        }
    )
    assert [(r.short_expr, r.long_expr, r.verified) for r in made.regions] == [
        ("a pink mug", "a pink mug on a shelf", None),
        ("a bag", "a bag on a table", True),
        ("a tall lamp", "a lamp", None),
    ]
    assert [r.phrase for r in made.regions] == ["a red mug", "a bag", "a lamp"]
    assert [n.verified for n in made.regions[0].hard_negatives] == [False]
    assert made.dropped == {}


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (_texts("a red mug", "a red mug on a table"), "unchanged"),
        (_texts("...", "a mug on a table"), "empty_text"),
        (_texts("a mug", "I'm sorry, I cannot help with that."), "refused_by_model"),
        (None, "missing_text"),
    ],
)
def test_a_region_without_a_usable_correction_is_left_out(value: Any, rule: str) -> None:
    values = {"1": value, "2": _texts("a tall lamp", "a lamp")}
    made = _answered({number: texts for number, texts in values.items() if texts})
    assert [r.short_expr for r in made.regions] == ["a bag", "a tall lamp"]
    assert {name: d.number for name, d in made.dropped.items()} == {f"correct_texts.{rule}": 1}


def test_the_plan_has_at_most_one_request_an_image() -> None:
    image = AverageImage(tokens=1000, crop_tokens=100, regions=4, negatives=10)
    estimate = _stage().estimate(image)
    assert estimate is not None and 0 < estimate.requests <= 1
    assert _stage().estimate(image._replace(regions=0)) is None
