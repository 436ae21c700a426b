"""Texts that say nothing: no words, a placeholder, or the words of the prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finehard.texts.language import words_of

_GRAM = 5
ECHO = 0.5
"""Share of a text's five-word sequences in the prompt from which it is an echo of the prompt."""
_KIND = r"(?:captions?|descriptions?|texts?|strings?|sentences?|phrases?|values?|answers?)"
_PLACEHOLDER = re.compile(
    rf"(?:(?:the|a|an|your|one|insert|write|some|short|long|brief|detailed|image|region) )*"
    rf"{_KIND}(?: {_KIND})*"
    r"(?: \d+)?(?: (?:goes|comes))?"
    r"(?: (?:here|of|for|the|this|image|picture|region|object|cut out))*"
    r"|string|str|text|null|none|nil|n a|na|nan|tbd|todo|unknown|undefined|empty|lorem ipsum.*"
    r"|test|title|label|x+"
    r"|(?:not|barely) (?:clearly )?visible|(?:un|not )clear|not (?:applicable|available)"
    r"|n a (?:image|picture|photo|no|not|the) .{1,60}"
    r"|error (?:the )?image .{1,40}"
    r"|error (?:loading|processing|generating) (?:the )?(?:image|caption|description).{0,40}"
    r"|nothing (?:to (?:describe|see|caption)|visible)(?: here)?"
    r"|(?:an? |the )?(?:unknown |unidentified |unclear )?(?:object|item|thing|region)"
    r"|(?:image|picture|photo|region|object|crop|cut out|caption) \d+"
    r"|(?:an? |the )?cut ?out(?: of (?:the|an?) (?:image|picture|photo))?"
    r"|cannot (?:be )?(?:determined?|seen|identif(?:y|ied))"
    r"|no (?:caption|description|text|details?)(?: (?:is |was )?(?:available|provided|possible))?"
    r"|image|picture|photo|example|placeholder|insert .{0,40} here|\w+ (?:goes )?here"
)

_SCHEMA = frozenset((
    "a", "an", "the", "your", "one", "short", "long", "brief", "detailed", "caption", "captions",
    "description", "descriptions", "of", "for", "this", "image", "picture", "region", "with", "in",
    "about", "approximately", "around", "words", "sentence", "sentences", "here", "goes", "and",
))  # fmt: skip
_SCHEMA_BEGINS = re.compile(
    r"(?:(?:a|an|the|your|one|short|long|brief|detailed) )*(?:captions?|descriptions?)\b"
)
_SCHEMA_WORDS = 24


class Placeholder:
    """Recognises texts that say nothing, given the template of the `prompt` they answer."""

    def __init__(self, prompt: str) -> None:
        self._prompt = frozenset(_grams(words_of(prompt)))

    def __call__(self, words: Sequence[str]) -> bool:
        """Whether a text says nothing. `words` are those of the text."""
        if not any(word[0].isalpha() for word in words):
            return True
        if len(words) < 2 * _GRAM and _PLACEHOLDER.fullmatch(" ".join(words).replace("_", " ")):
            return True
        if len(words) <= _SCHEMA_WORDS and _is_schema(words):
            return True
        grams = _grams(words)
        if self._prompt.isdisjoint(grams):
            return False
        return sum(g in self._prompt for g in grams) >= ECHO * len(grams)


def _is_schema(words: Sequence[str]) -> bool:
    """Whether `words` say nothing but what captions are wanted."""
    if not all(word in _SCHEMA or word.isdigit() for word in words):
        return False
    return _SCHEMA_BEGINS.match(" ".join(words)) is not None


def _grams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(_GRAM)), strict=False))
