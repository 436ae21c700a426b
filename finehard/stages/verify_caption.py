"""Verification of captions: is each statement of an image's captions true of the image?

Statements that are not confirmed are cut out before phrases are taken from the long caption, so
that no region is looked for that a false one names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finehard.records import WHOLE, Record, Reject, reject
from finehard.schemas import reply_schema
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import (
    TOKENS_PER_WORD,
    Ask,
    AverageImage,
    Estimate,
    Stage,
    numbered,
    prompt_tokens,
)
from finehard.stages.verify import VerifyConfig
from finehard.texts.statements import Statement, caption_of, statements

UNTRUE_CAPTION = "untrue_caption"
_REFERS_BACK = re.compile(
    r"(?:its?|they|them|their|he|him|his|she|her|both|the others?"
    r"|(?:this|that|these|those) (?:is|are|has|have|makes?|gives?|adds?|creates?))\b",
    re.IGNORECASE,
)
"""How a statement begins that speaks of what the one before names."""
_LONGEST = 1000
"""Characters of a statement that are shown, at most."""
_STATEMENTS = 11
"""That `finehard plan` assumes of both captions, of `_WORDS` words: in the captions that the phrase
rules are tested on one has 14 words."""
_WORDS = 175


class VerifyCaption(Stage):
    """Is each statement of the captions true of the whole image?"""

    name = "verify_caption"
    section = "verify"
    config_type = VerifyConfig
    reject_reasons = {UNTRUE_CAPTION: "no statement of the long caption was confirmed"}

    def __init__(self, config: VerifyConfig) -> None:
        self.config = config
        self.model = config.model
        self.prompt: Prompt = load_prompt(
            config.captions_prompt, self.name, ("statements", "count")
        )

    @classmethod
    def make(cls, config: VerifyConfig) -> Stage | None:
        """Returns the stage; None where captions are not verified."""
        return None if config.captions == "skip" else cls(config)

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns one question with the whole image, about the short caption and the statements of
        the long one."""
        lines = [fence(text, _LONGEST) for text in _texts(record, statements(record.long_caption))]
        text = self.prompt.render(statements=numbered(lines), count=len(lines))
        tokens = 32 + self.config.max_tokens * len(lines)
        return [Ask(text, (WHOLE,), reply_schema("verify", len(lines)), tokens, ("yes", "no"))]

    def answer(self, record: Record, values: Sequence[Any]) -> Record | Reject:
        """Returns `record` with the policy applied; a reject where no statement of the long caption
        is left.

        What has no answer is not confirmed. A statement that begins with a word for what the one
        before names goes with it. A short caption that is not confirmed is replaced by the first
        statement that is left of the long one. Counted, though nothing is left out for it, are
        statements without an answer ("unanswered") and without a probability ("untold").
        """
        [value] = values
        long = statements(record.long_caption)
        texts = _texts(record, long)
        true = [value.get(str(number)) for number, _ in enumerate(texts, 1)]
        short_true, *long_true = (p is not None and p >= self.config.caption_true for p in true)
        left = long_true
        if self.config.captions == "drop":
            left = _without_orphans(long, long_true)
            if not any(left):
                return reject(record, self.name, UNTRUE_CAPTION, record.long_caption)
            made = _cut(record, long, short_true, left)
        else:
            made = _marked(record, long, short_true, long_true)
        counted = {
            "short_untrue": [] if short_true else [record.short_caption],
            "long_untrue": [s.text for s, ok in zip(long, long_true, strict=True) if not ok],
            "refers_back": [
                s.text for s, ok, stays in zip(long, long_true, left, strict=True) if ok > stays
            ],
            "unanswered": [t for t, p in zip(texts, true, strict=True) if p is None],
            "untold": [t for t, p in zip(texts, true, strict=True) if type(p) is int],
        }
        return made.dropping(self.name, counted)

    def estimate(self, image: AverageImage) -> Estimate:
        """Returns one request with the whole image."""
        said = _WORDS * TOKENS_PER_WORD + 3 * _STATEMENTS
        prompt = prompt_tokens(self.prompt) + said + image.tokens
        return Estimate(1, prompt, 4 * _STATEMENTS + 2)


def _texts(record: Record, long: Sequence[Statement]) -> list[str]:
    return [record.short_caption, *(statement.text for statement in long)]


def _without_orphans(long: Sequence[Statement], true: Sequence[bool]) -> list[bool]:
    """Returns which statements are left: the true ones, without those that refer back to one that
    is not left."""
    left: list[bool] = []
    for statement, is_true in zip(long, true, strict=True):
        orphan = bool(left) and not left[-1] and _REFERS_BACK.match(statement.text)
        left.append(is_true and not orphan)
    return left


def _cut(record: Record, long: Sequence[Statement], short_true: bool, left: list[bool]) -> Record:
    if not all(left):
        record = replace(record, long_caption=caption_of(long, left))
    if not short_true:
        first = left.index(True)
        only = [number == first for number in range(len(left))]
        record = replace(record, short_caption=caption_of(long, only))
    return record


def _marked(
    record: Record, long: Sequence[Statement], short_true: bool, long_true: Sequence[bool]
) -> Record:
    """Returns `record` with what was said of each statement as what the stage adds."""
    rows = [{"of": "short_caption", "text": record.short_caption, "verified": short_true}]
    rows += [
        {"of": "long_caption", "text": statement.text, "verified": is_true}
        for statement, is_true in zip(long, long_true, strict=True)
    ]
    return record.adding(VerifyCaption.name, rows)
