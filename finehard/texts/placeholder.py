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
    r"|image|picture|photo|example|placeholder|insert .{0,40} here|\w+ (?:goes )?here"
)


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
        grams = _grams(words)
        if self._prompt.isdisjoint(grams):
            return False
        return sum(g in self._prompt for g in grams) >= ECHO * len(grams)


def _grams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(_GRAM)), strict=False))
