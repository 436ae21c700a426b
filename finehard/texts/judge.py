"""A model's text, cut clean and judged: the one place that knows all kinds of unusable texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from finehard.records import one_line
from finehard.texts.boilerplate import CLOSING, OPENING, is_thought, without_boilerplate
from finehard.texts.cut import Cut
from finehard.texts.ending import breaks_off, enough, goes_on, whole_sentences
from finehard.texts.language import Language, words_of
from finehard.texts.markup import is_address, is_code, is_json, without_markup
from finehard.texts.placeholder import Placeholder
from finehard.texts.refusal import is_refusal
from finehard.texts.repetition import is_loop

REFUSED = "refused_by_model"
UNFINISHED = "unfinished_text"
FAULTS = {
    "empty_text": "says nothing of what is seen",
    "json_text": "holds JSON: write plain prose in it",
    "markup_text": "is full of markup: write plain prose, without lists, headings, tags or tokens",
    "boilerplate_text": "speaks of the image more than of what is seen: begin with what is seen",
    "foreign_text": "is not in the language of this request",
    "repetitive_text": "repeats the same words again and again: say each thing once",
    UNFINISHED: "breaks off: end its last sentence, and be shorter where it is too long",
}
"""Reason -> what the model is told when it is asked once more."""

MARKUP = 0.12
"""Share of a long text that markup may take where little is left beside it; a list of ten items
with bold names takes 0.08."""
BOILERPLATE = 0.25
"""Share of a long text that its opening may take where little is left beside it."""
LITTLE = 0.25
"""Share of the words asked for below which little is left."""
UNFINISHED_SENTENCE = "unfinished_sentence"
_QUOTES = re.compile(r"\"([^\"]+)\"|“([^“”]+)”|'([^']+)'|‘([^‘’]+)’")


@dataclass(frozen=True)
class Judged:
    """A text on one line, and what was cut from it by kind.

    `fault` names why it is unusable, a reason in `finehard.rejects`; `why` says it to the model, if
    it is worth asking once more. A text without `fault` is usable, even with `why`.
    """

    text: str
    cut: dict[str, list[str]] = field(default_factory=dict)
    fault: str | None = None
    why: str | None = None


class Judge:
    """Judges the texts that answer `prompt`, a template."""

    def __init__(self, prompt: str) -> None:
        self._language = Language(prompt)
        self._is_placeholder = Placeholder(prompt)

    def __call__(self, raw: str, long_words: int = 0) -> Judged:
        """Returns `raw` judged: a text of a few words, or of several sentences, with about
        `long_words` words; that must end with a whole sentence."""
        return _judged(self, raw, long_words)

    def judge(self, raw: str, long_words: int) -> Judged:
        """What a call returns, worked out anew."""
        line = one_line(raw)
        cut = without_markup(raw)
        text = one_line(cut.text)
        markup = len(line) - len(text)
        if quotes := _QUOTES.fullmatch(text):
            text = quotes[1] or quotes[2] or quotes[3] or quotes[4]
        if is_refusal(text):
            return Judged(text, cut.pieces, REFUSED)
        if is_json(text):
            return _faulty("json_text", text, cut)
        if is_thought(text):
            return _faulty("boilerplate_text", text, cut)
        if is_code(text):
            return _faulty("markup_text", text, cut)
        prose = without_boilerplate(text)
        if any(":" in piece for piece in prose.pieces.get(OPENING, ())) and is_refusal(prose.text):
            return Judged(prose.text, {**cut.pieces, **prose.pieces}, REFUSED)
        opening = len(text) - len(prose.text) - sum(map(len, prose.pieces.get(CLOSING, ())))
        text, pieces = prose.text, {**cut.pieces, **prose.pieces}
        cut = Cut(text, pieces)
        words = words_of(text)
        if self._is_placeholder(words) or is_address(text):
            return _faulty("empty_text", text, cut)
        if is_loop(text, words):
            return _faulty("repetitive_text", text, cut)
        if self._language.is_foreign(text, words):
            return _faulty("foreign_text", text, cut)
        if len(words) < LITTLE * long_words:
            if markup > MARKUP * len(line):
                return _faulty("markup_text", text, cut)
            if opening > BOILERPLATE * len(line):
                return _faulty("boilerplate_text", text, cut)
        return _ended(cut, words, long_words > 0, self._language.is_english)


@lru_cache(2048)
def _judged(judge: Judge, raw: str, long_words: int) -> Judged:
    """A reply is judged as it comes, and its texts again when they are taken from the journal."""
    return judge.judge(raw, long_words)


def _faulty(fault: str, text: str, cut: Cut) -> Judged:
    return Judged(text, cut.pieces, fault, FAULTS[fault])


def _ended(cut: Cut, words: list[str], long: bool, english: bool) -> Judged:
    """The text as it is, where it ends well; cut to its whole sentences, where those are enough."""
    broken = english and (goes_on(cut.text) or (long and breaks_off(cut.text)))
    whole = whole_sentences(cut.text) if long else cut.text
    why = FAULTS[UNFINISHED]
    if len(whole) < len(cut.text) and enough(whole, words, cut.text):
        cut.tail(UNFINISHED_SENTENCE, len(whole))
        return Judged(cut.text, cut.pieces, None, why)
    if broken:
        return Judged(cut.text, cut.pieces, UNFINISHED, why)
    return Judged(cut.text, cut.pieces, None, why if len(whole) < len(cut.text) else None)
