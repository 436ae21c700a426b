"""Verification of captions: what is asked, and what becomes of unconfirmed statements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard import rejects
from finehard.config import as_dict, parse_config
from finehard.errors import UsageError
from finehard.phrases import PhrasesConfig
from finehard.phrases.stage import Phrases
from finehard.pipeline import load_pipeline, make_stages
from finehard.planning import make_plan
from finehard.records import WHOLE, Record, Reject
from finehard.stages.verify import VerifyConfig
from finehard.stages.verify_caption import VerifyCaption
from finehard.texts.statements import caption_of, statements
from tests.pictures import record

SHORT = "A red mug beside a blue bowl."
LONG = (
    "A red mug stands on a wooden table. A white cat lies beside it. It has green eyes. "
    "Mr. Brown's lamp hangs above the table."
)
LIST = "Three things stand on a table: a red mug; a blue bowl, quite small; a white lamp. It rains."


rejects.declare(VerifyCaption.reject_reasons)


def _record(long: str = LONG) -> Record:
    return record(short_caption=SHORT, long_caption=long)


def _asked(made: Record) -> list[str]:
    [ask] = VerifyCaption(VerifyConfig(captions="drop")).questions(made)
    return re.findall(r"^\d+\. (.*)$", ask.text, re.MULTILINE)


def _said(*untrue: str, long: str = LONG, **settings: Any) -> Record | Reject:
    """The record after a judge for whom the statements in `untrue` are true at 0.1, others 0.9."""
    stage = VerifyCaption(VerifyConfig(**{"captions": "drop", **settings}))
    texts = _asked(_record(long))
    value = {str(n): 0.1 if text in untrue else 0.9 for n, text in enumerate(texts, 1)}
    return stage.answer(_record(long), [value])


def _kept(*untrue: str, **settings: Any) -> Record:
    made = _said(*untrue, **settings)
    assert isinstance(made, Record)
    return made


def test_one_question_has_the_image_and_all_statements() -> None:
    [ask] = VerifyCaption(VerifyConfig(captions="drop")).questions(_record())
    assert ask.views == (WHOLE,) and ask.choices == ("yes", "no")
    assert _asked(_record()) == [
        SHORT,
        "A red mug stands on a wooden table.",
        "A white cat lies beside it.",
        "It has green eyes.",
        "Mr. Brown's lamp hangs above the table.",
    ]
    assert ask.schema.why_invalid(dict.fromkeys("12345", "yes")) is None
    assert ask.schema.why_invalid(dict.fromkeys("1234", "yes")) is not None
    constant = ask.text.index("1. ")
    [other] = VerifyCaption(VerifyConfig(captions="drop")).questions(_record(LIST))
    assert ask.text[:constant] == other.text[:constant] and constant > 400


def test_what_is_confirmed_stays_as_it_was() -> None:
    assert _said() == _record()
    assert _said(long=LIST) == _record(LIST)


def test_a_false_sentence_goes_and_what_refers_to_it() -> None:
    made = _kept("A white cat lies beside it.")
    assert made.long_caption == (
        "A red mug stands on a wooden table. Mr. Brown's lamp hangs above the table."
    )
    assert made.short_caption == SHORT
    assert made.dropped == {
        "verify_caption.long_untrue": (1, "A white cat lies beside it."),
        "verify_caption.refers_back": (1, "It has green eyes."),
    }


def test_a_false_sentences_phrase_is_not_looked_for() -> None:
    phrases = Phrases(PhrasesConfig(backend="wordnet"))
    phrases.prepare()
    heads = [
        {phrase.head for phrase in phrases.apply(made).phrases}
        for made in (_record(), _kept("A white cat lies beside it."))
    ]
    assert "cat" in heads[0] and heads[1] == heads[0] - {"cat", "eye"}


def test_a_false_item_of_a_list_goes_alone() -> None:
    head, first, middle, last = (
        "Three things stand on a table", "a red mug", "a blue bowl, quite small", "a white lamp",
    )  # fmt: skip
    assert _asked(_record(LIST))[1:] == [head, first, middle, last, "It rains."]
    cut = {
        (middle,): "Three things stand on a table: a red mug; a white lamp. It rains.",
        (last,): "Three things stand on a table: a red mug; a blue bowl, quite small.",
        (head,): "A red mug; a blue bowl, quite small; a white lamp. It rains.",
        (first, middle, last): "Three things stand on a table.",
        (head, first, middle, last, SHORT): None,
    }
    for untrue, left in cut.items():
        made = _said(*untrue, long=LIST)
        assert (made.long_caption if isinstance(made, Record) else None) == left


def test_what_refers_to_a_true_statement_stays() -> None:
    made = _kept("Mr. Brown's lamp hangs above the table.")
    assert made.long_caption == LONG.partition(" Mr. Brown")[0]
    chain = "A man sits. The other stands. He smiles. A dog sleeps. It snores."
    assert _kept("A man sits.", long=chain).long_caption == "A dog sleeps. It snores."


def test_a_false_short_caption_becomes_the_first_true_statement() -> None:
    made = _kept(SHORT, "A red mug stands on a wooden table.")
    assert made.short_caption == "A white cat lies beside it."
    assert made.dropped["verify_caption.short_untrue"] == (1, SHORT)
    listed = _kept(SHORT, "Three things stand on a table", long=LIST)
    assert listed.short_caption == "A red mug."


def test_a_caption_without_a_true_statement_is_a_reject() -> None:
    made = _said(*_asked(_record())[1:])
    assert isinstance(made, Reject)
    assert (made.stage, made.reason) == ("verify_caption", "untrue_caption")


def test_marking_says_so_and_changes_no_text() -> None:
    made = _kept("It has green eyes.", captions="mark")
    assert (made.short_caption, made.long_caption) == (SHORT, LONG)
    rows = made.extra["verify_caption"]
    assert [row["verified"] for row in rows] == [True, True, True, False, True]
    assert rows[3] == {"of": "long_caption", "text": "It has green eyes.", "verified": False}
    assert made.dropped == {"verify_caption.long_untrue": (1, "It has green eyes.")}


def test_how_sure_the_judge_of_captions_must_be_can_be_set() -> None:
    assert isinstance(_said(caption_true=0.95), Reject)
    assert _said(SHORT, caption_true=0.1) == _record()


def test_what_is_unanswered_is_not_confirmed_but_counted() -> None:
    stage = VerifyCaption(VerifyConfig(captions="drop"))
    made = stage.answer(_record(), [{"1": 1, "2": 0.9, "3": 0.9, "4": 0.9}])
    assert isinstance(made, Record) and "lamp" not in made.long_caption
    assert {rule: told.number for rule, told in made.dropped.items()} == {
        "verify_caption.long_untrue": 1,
        "verify_caption.unanswered": 1,
        "verify_caption.untold": 1,
    }


@pytest.mark.parametrize(
    "sentence",
    [
        'A sign reads "mugs; bowls" in red letters.',
        "The cup is approx. 9 cm tall and St. Paul's is behind.",
        "A mug: red",
        "One; two",
        "; a mug; ",
        "Прямо стоит красная кружка. Слева белая лампа.",
    ],
)
def test_captions_are_put_together_as_they_were(sentence: str) -> None:
    made = statements(sentence)
    assert caption_of(made, [True] * len(made)) == sentence
    assert caption_of(made, [False] * len(made)) == ""


@given(st.text(st.sampled_from("aB .;:!?\"'0"), max_size=40))
def test_any_caption_is_put_together_as_it_was(text: str) -> None:
    line = " ".join(text.split())
    made = statements(line)
    assert caption_of(made, [True] * len(made)) == line


_MODELS = {"models": {"lmm": {"model": "m", "endpoints": ["http://x/v1"]},
                      "llm": {"model": "m", "endpoints": ["http://x/v1"]}}}  # fmt: skip


def test_without_the_setting_there_is_no_such_stage() -> None:
    config = parse_config(_MODELS, "c")
    assert "captions" not in str(as_dict(config)["verify"])
    assert "verify_caption" not in [s.name for s in make_stages(load_pipeline(), config)]


def test_with_it_the_stage_comes_before_phrases_and_is_planned() -> None:
    config = parse_config({**_MODELS, "verify": {"captions": "drop"}}, "c")
    assert as_dict(config)["verify"]["captions"] == "drop"
    stages = make_stages(load_pipeline(), config)
    assert [s.name for s in stages][:3] == ["caption", "verify_caption", "phrases"]
    planned = {stage.stage: stage for stage in make_plan([], 10, config, stages).stages}
    assert planned["verify_caption"].requests == 10


def test_a_pipeline_without_the_stage_refuses_the_setting(tmp_path: Path) -> None:
    own = tmp_path / "without_captions.py"
    own.write_text(
        "from finehard.stages.verify import Verify\nSTAGES = (Verify,)\n"
        "def without_captions(pipeline, files, build):\n    pass\n"
    )
    config = parse_config({**_MODELS, "verify": {"captions": "drop"}}, "c")
    with pytest.raises(UsageError, match="stage verify needs verify_caption"):
        make_stages(load_pipeline(str(own)), config)
