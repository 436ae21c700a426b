"""Captioners as stages: how they are made, and what they leave of an image between them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finehard.config import load_config, parse_config
from finehard.errors import UsageError
from finehard.pipeline import load_pipeline, make_stages
from finehard.records import Record, Reject, reject
from finehard.stages.caption import CaptionConfig
from finehard.stages.recaption import Recaption, RecaptionConfig
from tests.pictures import record

MODEL = {"model": "tiny", "endpoints": ["http://127.0.0.1:1/v1"]}
GOOD = {"short_caption": "A mug", "long_caption": "A red mug stands on a table."}
OTHER = {"short_caption": "A cup", "long_caption": "A red cup stands on a wooden table."}
BAD = {"short_caption": "A mug", "long_caption": "I'm sorry, but I can't assist with that request."}


def captioners(*names: str) -> list[Recaption]:
    return list(Recaption.make(RecaptionConfig({name: CaptionConfig() for name in names})))


def brought_through(stages: list[Recaption], *replies: dict[str, str]) -> Record | Reject:
    """What becomes of an image that gets these replies, as in a build."""
    item: Record | Reject = record()
    for stage, reply in zip(stages, replies, strict=True):
        assert isinstance(item, Record)
        before, item = item, stage.answer(item, [reply])
        if isinstance(item, Reject):
            item = stage.without_answer(before, item)
    return item


def test_one_captioner_leaves_what_a_caption_stage_does() -> None:
    made = brought_through(captioners("a"), GOOD)
    assert made == replace(record(), **GOOD)
    rejected = brought_through(captioners("a"), BAD)
    assert isinstance(rejected, Reject) and rejected.reason == "refused_by_model"


def test_the_first_usable_captions_are_the_samples() -> None:
    made = brought_through(captioners("a", "b", "c"), BAD, OTHER, GOOD)
    assert isinstance(made, Record)
    assert (made.short_caption, made.long_caption) == tuple(OTHER.values())
    assert made.extra["captions"] == [{"captioner": "b", **OTHER}, {"captioner": "c", **GOOD}]
    assert {name: dropped.number for name, dropped in made.dropped.items()} == {
        "recaption-a.refused_by_model": 1
    }


def test_the_last_captioner_may_fail_where_another_has_not() -> None:
    made = brought_through(captioners("a", "b"), GOOD, BAD)
    assert isinstance(made, Record) and made.long_caption == GOOD["long_caption"]
    late = captioners("a", "b")[1].without_answer(made, reject(made, "recaption-b", "timeout"))
    assert isinstance(late, Record)


def test_an_image_that_no_captioner_describes_is_rejected() -> None:
    rejected = brought_through(captioners("a", "b"), BAD, BAD)
    assert isinstance(rejected, Reject) and rejected.stage == "recaption-b"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "recaption.captioners names none"),
        ({"captioners": {"A b": {}}}, "captioners.A b: a name has at most 40 of a-z, 0-9, _ and -"),
        ({"captioners": {"a": {"model": "llm"}}}, "recaption-a is 'llm', but models has only lmm"),
        ({"captioners": {"a": {"prompt": "verify.v3"}}}, "its first lines must be '---', 'task: c"),
        ({"captioners": {"a": {"promt": "x"}}}, "unknown key recaption.captioners.a.promt"),
    ],
)
def test_captioners_that_cannot_work_are_refused(section: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config = parse_config({"models": {"lmm": MODEL}, "recaption": section}, "my.yaml")
        make_stages(load_pipeline("recaption"), config)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_config_with_captioners_is_for_their_pipeline_only() -> None:
    config = load_config("recaption")
    names = [stage.name for stage in make_stages(load_pipeline("recaption"), config)]
    assert names == ["recaption-plain"]
    with pytest.raises(UsageError, match="recaption: the pipeline has no such stage .--pipeline r"):
        make_stages(load_pipeline(), config)


def test_an_unknown_pipeline_names_the_bundled_ones() -> None:
    with pytest.raises(UsageError, match="one of build_finehard, recaption, repair_finehard"):
        load_pipeline("recapton")
    assert load_pipeline("build_finehard").bundled and not load_pipeline("recaption").bundled
