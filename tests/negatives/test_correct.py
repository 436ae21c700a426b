"""Hard negatives that are true are replaced: by a model that is told why, else by the lexicon."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.errors import UsageError
from finehard.negatives.correct import CorrectNegatives, LexiconCorrectNegatives
from finehard.records import HardNegative, Record, Region
from finehard.stages.stage import AverageImage, Limits, Stage
from finehard.stages.verify import CorrectionConfig, VerifyConfig
from tests.pictures import record, region


def _gray(color: str, verified: bool) -> HardNegative:
    return HardNegative(f"a {color} mug", "color", "gray", color, verified)


def _record(*regions: Region) -> Record:
    return record(
        region("a gray mug", verified=True, hard_negatives=(
            _gray("silver", False), _gray("blue", True), _gray("red", True))),
        *regions,
    )  # fmt: skip


_OTHER = region("a bag", verified=True)
_CORRECTED = region("a small white lamp", verified=None, hard_negatives=(
    _gray("green", False), _gray("pink", False)))  # fmt: skip


def _config(backend: str = "llm") -> VerifyConfig:
    correction = CorrectionConfig(backend=backend)  # type: ignore[arg-type]
    return VerifyConfig(policy="correct", correction=correction)


def _stage() -> CorrectNegatives:
    return CorrectNegatives(_config())


def _answered(item: Record, *values: Any) -> Record:
    made = _stage().answer(item, values)
    assert isinstance(made, Record)
    return made


def _negatives(made: Record) -> list[tuple[str, bool | None]]:
    return [(n.text, n.verified) for n in made.regions[0].hard_negatives]


def test_one_question_without_an_image_says_what_was_true() -> None:
    [ask] = _stage().questions(_record(_OTHER, _CORRECTED))
    assert ask.views == ()
    assert ask.text.endswith(
        "\n1. a gray mug | gray (color): 3 | true: silver | taken: blue, red\n"
        "2. a small white lamp | small (size): 2, white (color): 2\nAnswer:"
    )
    assert ask.schema.value["required"] == ["1", "2"]
    assert not _stage().questions(record(_OTHER))


def test_a_new_negative_takes_the_place_of_the_true_one() -> None:
    made = _answered(_record(_OTHER), {"1": ["gray: green, yellow"]})
    assert _negatives(made) == [("a green mug", None), ("a blue mug", True), ("a red mug", True)]
    assert made.regions[1] == _OTHER
    assert made.dropped == {}


@pytest.mark.parametrize("again", ["silver", "blue", "gray", "lamp", "light gray"])
def test_what_is_true_taken_or_no_swap_is_not_used(again: str) -> None:
    made = _answered(_record(), {"1": [f"gray: {again}, orange"]})
    assert _negatives(made)[0] == ("an orange mug", None)
    assert len(made.dropped) == 1


def test_what_the_model_leaves_open_comes_from_the_lexicon() -> None:
    for reply in ({"1": []}, {"1": ["nonsense", "gray: silver"]}, {}):
        (text, verified), *others = _negatives(_answered(_record(), reply))
        assert verified is None and text not in ("a silver mug", "a blue mug", "a red mug")
        assert [text for text, _ in others] == ["a blue mug", "a red mug"]


def test_a_corrected_text_gets_negatives_of_its_own() -> None:
    made = _answered(record(_CORRECTED), {"1": ["small: huge", "white: black"]})
    assert _negatives(made) == [("a huge white lamp", None), ("a small black lamp", None)]


def test_a_true_negative_without_another_is_left_out() -> None:
    sky = HardNegative("the blue sky", "color", "gray", "blue", False)
    made = _answered(record(region("the sky", verified=None, hard_negatives=(sky,))), {"1": []})
    assert _negatives(made) == []
    assert made.dropped == {"correct_negatives.none_found": (1, "the blue sky")}


def test_questions_have_no_more_regions_than_the_server_takes() -> None:
    stage = _stage()
    stage.limits = Limits(1)
    item = _record(_OTHER, _CORRECTED)
    assert len(stage.questions(item)) == 2
    made = stage.answer(item, [{"1": ["gray: green"]}, {"1": ["white: black, red"]}])
    assert isinstance(made, Record)
    assert [n.text for n in made.regions[2].hard_negatives] == [
        "a small black lamp", "a small red lamp"
    ]  # fmt: skip


def test_the_lexicon_alone_asks_no_model() -> None:
    stage: Stage | None = CorrectNegatives.make(_config("lexicon"))
    assert isinstance(stage, LexiconCorrectNegatives) and stage.model is None
    made = stage.apply(_record(_OTHER))
    assert isinstance(made, Record)
    assert len(_negatives(made)) == 3 and _negatives(made)[0][1] is None
    image = AverageImage(tokens=1000, crop_tokens=100, regions=4, negatives=10)
    assert stage.estimate(image) is None
    asked = _stage().estimate(image)
    assert asked is not None and 0 < asked.requests <= 1


def test_a_prompt_with_another_reply_is_refused() -> None:
    correction = CorrectionConfig(negatives_prompt="negatives.v1")
    with pytest.raises(UsageError):
        CorrectNegatives(VerifyConfig(policy="correct", correction=correction))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
_WORDS = st.lists(st.sampled_from(("silver", "green", "gray", "lamp", "", "a", "two", "~")))
_LISTS = _WORDS.map(lambda words: [f"gray: {','.join(words)}"])


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from("12"), _JSON | _WORDS.map(lambda w: [f"gray: {','.join(w)}"]))
)
def test_no_reply_harms_a_confirmed_negative(reply: dict[str, Any]) -> None:
    made = _answered(_record(), reply)
    texts = [text for text, _ in _negatives(made)]
    assert texts[-2:] == ["a blue mug", "a red mug"]
    assert len(set(texts)) == len(texts) <= 3
    assert "a silver mug" not in texts and "a gray mug" not in texts
