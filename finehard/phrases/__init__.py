"""Extracts groundable noun phrases from long captions: short phrases to give to a detector.

`extractor(config)` returns a function from a caption to its phrases and the noun phrases that rules
dropped. Noun chunks come from a spaCy model's parser if one is installed, else from WordNet's parts
of speech and chunk rules (`tagger.py`, `chunks.py`). The later rules (`rules.py`) are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from finehard.errors import UsageError
from finehard.phrases import lexicon
from finehard.phrases.chunks import join_units
from finehard.phrases.rules import Extraction, Phrase, is_terminated, select
from finehard.settings.ranges import Positive

__all__ = ["Extraction", "Phrase", "PhrasesConfig", "extractor", "identity"]

MAX_CHARS = 20_000
"""Longer captions are truncated, which bounds the time one caption can take."""
RULES = "9"
"""Version of the rules. Change it when their output changes: journals are keyed by it."""
BACKENDS = ("auto", "spacy", "wordnet")


@dataclass(frozen=True)
class PhrasesConfig:
    """Settings of the phrases stage."""

    backend: str = "auto"
    """auto | spacy | wordnet. auto: spacy if `spacy_model` is installed, else wordnet."""
    spacy_model: str = "en_core_web_sm"
    max_phrases: Positive = 20
    """Maximum per caption, in order of the text."""


def _backend(config: PhrasesConfig) -> str:
    if config.backend not in BACKENDS:
        raise UsageError(f"phrases.backend: {config.backend!r} is not one of {', '.join(BACKENDS)}")
    if config.max_phrases < 1:
        raise UsageError(f"phrases.max_phrases: {config.max_phrases} is less than 1")
    if config.backend == "wordnet":
        return "wordnet"
    with suppress(PackageNotFoundError, ValueError):
        distribution(config.spacy_model)  # like spaCy's is_package, without importing it
        return "spacy"
    if config.backend == "auto":
        return "wordnet"
    raise UsageError(
        f"phrases.spacy_model: {config.spacy_model} is not installed; run `python -m spacy download"
        f" {config.spacy_model}`, or set phrases.backend to wordnet"
    )


def identity(config: PhrasesConfig) -> dict[str, Any]:
    """Returns everything that determines a caption's phrases, JSON-ready."""
    backend = _backend(config)
    words = lexicon.version()
    if backend == "spacy":
        from importlib.metadata import version as installed

        model, version = config.spacy_model, installed(config.spacy_model)
    else:
        model, version = "wordnet", words
    return {
        "backend": backend,
        "model": model,
        "version": version,
        "lexicon": words,
        "rules": RULES,
        "max_phrases": config.max_phrases,
    }


def extractor(config: PhrasesConfig) -> Callable[[str], Extraction]:
    """Returns a function from a caption to its phrases; it accepts any text.

    Raises `UsageError` if the backend or its model is not available.
    """
    from finehard.phrases import docs

    read = docs.reader(_backend(config), config.spacy_model)

    def extract(text: str) -> Extraction:
        text = text[:MAX_CHARS]
        if not text.strip():
            return Extraction([], {})
        tokens, chunks = read(text)
        return select(tokens, join_units(tokens, chunks), is_terminated(text), config.max_phrases)

    return extract
