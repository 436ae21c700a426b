"""The things a long caption names, as short phrases that a detector can be asked for.

`extractor(config)` gives a function from a caption to its phrases and to counts of what was left
out. Two ways to noun chunks: a spaCy model's parser where one is installed, else WordNet's parts
of speech and chunk rules (`tagger.py`, `chunks.py`). All later rules are the same (`rules.py`).
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
"""Longer captions are cut: no captioner writes them, and the time of one must have a bound."""
RULES = "7"
"""Version of the rules; a change of what they give must change it, for journals are keyed by it."""
BACKENDS = ("auto", "spacy", "wordnet")


@dataclass(frozen=True)
class PhrasesConfig:
    """How phrases are found."""

    backend: str = "auto"
    """auto | spacy | wordnet. auto: spacy where `spacy_model` is installed, else wordnet."""
    spacy_model: str = "en_core_web_sm"
    max_phrases: Positive = 20
    """Per caption; the first ones are kept."""


def _backend(config: PhrasesConfig) -> str:
    if config.backend not in BACKENDS:
        raise UsageError(f"phrases.backend: {config.backend!r} is not one of {', '.join(BACKENDS)}")
    if config.max_phrases < 1:
        raise UsageError(f"phrases.max_phrases: {config.max_phrases} is less than 1")
    if config.backend == "wordnet":
        return "wordnet"
    with suppress(PackageNotFoundError, ValueError):
        distribution(config.spacy_model)  # as spaCy's is_package, without seconds of imports
        return "spacy"
    if config.backend == "auto":
        return "wordnet"
    raise UsageError(
        f"phrases.spacy_model: {config.spacy_model} is not installed; run `python -m spacy download"
        f" {config.spacy_model}`, or set phrases.backend to wordnet"
    )


def identity(config: PhrasesConfig) -> dict[str, Any]:
    """What decides the phrases of a caption: backend, model, versions, limit. JSON-ready."""
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
    """A function from a caption to its phrases. It raises on no text.

    Raises UsageError here, before any caption is read, where the configuration cannot work.
    """
    from finehard.phrases import docs

    parse = docs.parser(_backend(config), config.spacy_model)

    def extract(text: str) -> Extraction:
        text = text[:MAX_CHARS]
        if not text.strip():
            return Extraction([], {})
        tokens, chunks = docs.read(parse(text))
        return select(tokens, join_units(tokens, chunks), is_terminated(text), config.max_phrases)

    return extract
