"""What was corrected is verified again: only that, and what is not confirmed is left out."""

from __future__ import annotations

import re

import pytest

from finehard.config import as_dict, parse_config
from finehard.errors import UsageError
from finehard.pipeline import Pipeline, load_pipeline, make_stages
from finehard.records import HardNegative, Record
from finehard.stages.min_regions import MinRegions
from finehard.stages.stage import AverageImage
from finehard.stages.verify import Verify, VerifyConfig
from finehard.stages.verify_corrected import VerifyCorrected
from tests.pictures import record, region

_CONFIG = VerifyConfig(policy="correct")


def _negative(text: str, verified: bool | None) -> HardNegative:
    return HardNegative(text, "color", "red", text.split()[1], verified)


def _record() -> Record:
    return record(
        region("a red mug", verified=True, hard_negatives=(
            _negative("a blue mug", True), _negative("a green mug", None),
            _negative("a pink mug", None))),
        region("a bag", verified=True, hard_negatives=(_negative("a big bag", True),)),
        region("a tall lamp", "a tall lamp here", verified=None,
               hard_negatives=(_negative("a short lamp", None),)),
    )  # fmt: skip


def _statements(stage: Verify, item: Record) -> list[list[str]]:
    return [re.findall(r"^\d+\. (.*)$", ask.text, re.MULTILINE) for ask in stage.questions(item)]


def _answered(*untrue: str) -> Record:
    stage = VerifyCorrected(_CONFIG)
    values = [
        {str(n): 0.1 if text in untrue else 0.9 for n, text in enumerate(statements, 1)}
        for statements in _statements(stage, _record())
    ]
    return stage.answer(_record(), values)


def test_only_new_texts_are_asked_about() -> None:
    assert _statements(VerifyCorrected(_CONFIG), _record()) == [
        ["a green mug", "a pink mug"],
        ["a tall lamp", "a tall lamp here", "a short lamp"],
    ]
    confirmed = record(*_record().regions[1:2])
    assert _statements(VerifyCorrected(_CONFIG), confirmed) == []


def test_confirmed_corrections_stay_and_are_counted() -> None:
    made = _answered("a green mug", "a short lamp")
    assert [r.short_expr for r in made.regions] == ["a red mug", "a bag", "a tall lamp"]
    assert [[n.text for n in r.hard_negatives] for r in made.regions] == [
        ["a blue mug", "a green mug"], ["a big bag"], ["a short lamp"]
    ]  # fmt: skip
    assert all(r.verified for r in made.regions)
    assert {name: d.number for name, d in made.dropped.items()} == {
        "verify_corrected.negative_true": 1,
        "verify_corrected.text_corrected": 1,
        "verify_corrected.negative_replaced": 2,
    }


def test_a_text_that_is_still_untrue_goes_with_its_region() -> None:
    made = _answered("a tall lamp here", "a green mug", "a pink mug", "a short lamp")
    assert [r.short_expr for r in made.regions] == ["a red mug", "a bag"]
    assert made.dropped["verify_corrected.text_untrue"] == (1, "a tall lamp")
    assert "verify_corrected.text_corrected" not in made.dropped


def test_with_correction_the_first_verification_only_marks() -> None:
    item = record(region("a red mug", hard_negatives=(_negative("a blue mug", None),)))
    made = Verify(_CONFIG).answer(item, [{"1": 0.1, "2": 0.9}])
    [judged] = made.regions
    assert (judged.verified, judged.hard_negatives[0].verified) == (False, False)


_MODEL = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
_MODELS = {"models": {"lmm": _MODEL, "llm": _MODEL}}
_NEW = {"correct_texts", "correct_negatives", "verify_corrected"}


@pytest.mark.parametrize("policy", ["drop", "mark", "skip"])
def test_other_policies_leave_correction_out_of_the_pipeline(policy: str) -> None:
    config = parse_config({**_MODELS, "verify": {"policy": policy}}, "test")
    names = {stage.name for stage in make_stages(load_pipeline(), config)}
    assert names.isdisjoint(_NEW) and "verify" in names
    assert "correction" not in as_dict(config)["verify"]


def test_correction_is_three_stages_after_verification() -> None:
    config = parse_config({**_MODELS, "verify": {"policy": "correct"}}, "test")
    names = [stage.name for stage in make_stages(load_pipeline(), config)]
    assert names[names.index("verify") :] == [
        "verify", "correct_texts", "correct_negatives", "verify_corrected", "min_regions"
    ]  # fmt: skip


def test_a_pipeline_without_the_stages_cannot_correct() -> None:
    config = parse_config({**_MODELS, "verify": {"policy": "correct"}}, "test")
    old = Pipeline((Verify, MinRegions), lambda *_: None)
    with pytest.raises(UsageError, match="correct_texts, correct_negatives, verify_corrected"):
        make_stages(old, config)


def test_the_plan_asks_again_about_less_than_the_first_time() -> None:
    image = AverageImage(tokens=1000, crop_tokens=100, regions=4, negatives=10)
    first, again = (kind(_CONFIG).estimate(image) for kind in (Verify, VerifyCorrected))
    assert first is not None and again is not None
    assert again.requests < first.requests
    assert again.completion_tokens < first.completion_tokens
