"""What the caption and regions stages do with unusable texts, and with limits on requests."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import pytest

from finehard.records import Record, Reject
from finehard.stages.caption import Caption, CaptionConfig
from finehard.stages.regions import Regions, RegionsConfig
from finehard.stages.stage import AverageImage, Limits, Stage
from tests.pictures import record, region

GOOD = "A red mug stands on a wooden table beside a blue bowl."
SHORT = "A red mug on a table"
REFUSAL = "I'm sorry, but I can't assist with that request."
LOOP = "The wall is white. " * 9


def _captioned(short: str, long: str) -> Record | Reject:
    value = {"short_caption": short, "long_caption": long}
    return Caption(CaptionConfig()).answer(record(), [value])


def _why_again(short: str, long: str) -> str | None:
    [ask] = Caption(CaptionConfig()).questions(record())
    assert ask.judge is not None
    return ask.judge({"short_caption": short, "long_caption": long})


def test_usable_captions_are_unchanged_and_not_asked_again() -> None:
    made = _captioned(SHORT, GOOD)
    assert isinstance(made, Record)
    assert (made.short_caption, made.long_caption, made.dropped) == (SHORT, GOOD, {})
    assert _why_again(SHORT, GOOD) is None


@pytest.mark.parametrize(
    ("short", "long", "reason"),
    [
        (SHORT, LOOP, "repetitive_text"),
        ("...", GOOD, "empty_text"),
        (SHORT, "桌子上有一个红色的杯子", "foreign_text"),
    ],
)
def test_an_unusable_caption_is_asked_again_then_rejected(
    short: str, long: str, reason: str
) -> None:
    why = _why_again(short, long)
    name = "short_caption" if short != SHORT else "long_caption"
    assert why is not None and why.startswith(name) and "\n" not in why
    made = _captioned(short, long)
    assert isinstance(made, Reject)
    assert made.reason == reason and made.detail.startswith(f"{name}: ")


@pytest.mark.parametrize("texts", [(REFUSAL, GOOD), (SHORT, REFUSAL), (REFUSAL, LOOP)])
def test_a_refusal_is_rejected_without_asking_again(texts: tuple[str, str]) -> None:
    assert _why_again(*texts) is None
    made = _captioned(*texts)
    assert isinstance(made, Reject) and made.reason == "refused_by_model"


def test_what_is_cut_from_captions_is_counted_with_an_example() -> None:
    made = _captioned("The image shows a red mug.", f"{GOOD}</s>")
    assert isinstance(made, Record) and made.short_caption == "A red mug."
    assert made.dropped == {
        "caption.cut_opening": (1, "The image shows"), "caption.cut_special_tokens": (1, "</s>")
    }  # fmt: skip


def _three() -> Record:
    return record(region("a mug"), region("a bag"), region("a lamp"))


def _why_ask_regions_again(value: dict[str, str]) -> str | None:
    [ask] = Regions(RegionsConfig()).questions(_three())
    assert ask.judge is not None
    return ask.judge(value)


def test_an_unusable_region_text_costs_its_region_only() -> None:
    value = {"1": "a red mug", "2": REFUSAL, "3": "<br/>a tall lamp.</s>"}
    made = Regions(RegionsConfig()).answer(_three(), [value])
    assert [(r.phrase, r.long_expr) for r in made.regions] == [
        ("a mug", "a red mug"), ("a lamp", "a tall lamp")
    ]  # fmt: skip
    assert made.dropped == {
        "regions.refused_by_model": (1, f"a bag: {REFUSAL}"),
        "regions.cut_special_tokens": (1, "</s>"),
        "regions.cut_html": (1, "<br/>"),
    }
    assert _why_ask_regions_again(value) is None


def test_a_missing_region_text_costs_its_region_only() -> None:
    made = Regions(RegionsConfig()).answer(_three(), [{"1": "a red mug", "3": "a lamp"}])
    assert [r.phrase for r in made.regions] == ["a mug", "a lamp"]
    assert made.dropped == {"regions.missing_text": (1, "a bag: (no text)")}


def test_region_texts_are_asked_again_where_one_is_unusable() -> None:
    why = _why_ask_regions_again({"1": "a red mug", "2": "...", "3": REFUSAL})
    assert why is not None and re.match(r"caption 2 says nothing", why)
    assert _why_ask_regions_again({"1": "a red mug", "2": "a bag", "3": "a lamp"}) is None


def _limited(most: int | None) -> Regions:
    stage = Regions(RegionsConfig())
    stage.limits = Limits(most)
    return stage


def _five() -> Record:
    boxes = [(n / 10, 0.1, n / 10 + 0.1, 0.9) for n in range(5)]
    return record(*(replace(region(f"thing {n}"), box=box) for n, box in enumerate(boxes)))


def test_regions_are_split_by_the_servers_limit() -> None:
    asks = _limited(2).questions(_five())
    assert [len(ask.views) for ask in asks] == [2, 2, 1]
    assert [view for ask in asks for view in ask.views] == [r.box for r in _five().regions]
    assert [re.findall(r"^(\d)\. thing (\d)$", ask.text, re.MULTILINE) for ask in asks] == [
        [("1", "0"), ("2", "1")], [("1", "2"), ("2", "3")], [("1", "4")]
    ]  # fmt: skip
    assert [ask.schema.why_invalid({"1": "a", "2": "b"}) is None for ask in asks] == [
        True, True, False
    ]  # fmt: skip
    assert [ask.max_tokens for ask in asks] == [32 + 96 * 2, 32 + 96 * 2, 32 + 96]


@pytest.mark.parametrize("most", [None, 5, 9])
def test_regions_that_fit_are_asked_about_in_one_request(most: int | None) -> None:
    [ask] = _limited(most).questions(_five())
    [plain] = Regions(RegionsConfig()).questions(_five())
    assert ask[:5] == plain[:5]


def test_answers_of_split_requests_are_joined() -> None:
    values = [{"1": "a red bag", "2": "..."}, {"2": "a blue bag"}, {"1": "a tall lamp"}]
    made = _limited(2).answer(_five(), values)
    assert [(r.phrase, r.long_expr) for r in made.regions] == [
        ("thing 0", "a red bag"), ("thing 3", "a blue bag"), ("thing 4", "a tall lamp")
    ]  # fmt: skip
    assert {rule: told.number for rule, told in made.dropped.items()} == {
        "regions.empty_text": 1, "regions.missing_text": 1
    }  # fmt: skip


def test_the_estimate_knows_the_split() -> None:
    image = AverageImage(tokens=300, crop_tokens=100, regions=6, negatives=10)
    whole, split = _limited(None).estimate(image), _limited(2).estimate(image)
    assert (whole.requests, split.requests) == (1, 3)
    assert split.completion_tokens * 3 == whole.completion_tokens + 20


@pytest.mark.parametrize("stage", [Caption(CaptionConfig()), _limited(2)])
def test_stages_that_judge_travel_to_workers(stage: Stage) -> None:
    travelled = pickle.loads(pickle.dumps(stage))
    asked, expected = travelled.questions(_five()), stage.questions(_five())
    assert [ask.text for ask in asked] == [ask.text for ask in expected]
    assert all(ask.judge and ask.judge({}) is None for ask in asked if len(ask.views) > 1)
