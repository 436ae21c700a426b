"""The phrases stage: the long caption's groundable noun phrases, by rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finehard.digest import digest
from finehard.phrases import PhrasesConfig, extractor, identity
from finehard.records import Phrase, Record
from finehard.stages.stage import Settings, Stage


class Phrases(Stage):
    """Long caption -> noun phrases that a detector can be asked for."""

    name = "phrases"
    config_type = PhrasesConfig

    def check(self, settings: Settings) -> None:
        """Raises `UsageError` where the phrase backend is not installed."""
        identity(self.config)

    def prepare(self) -> None:
        """Loads the parser or the lexicon: a second or two."""
        self._extract = extractor(self.config)

    def apply(self, record: Record) -> Record:
        """Returns `record` with its phrases; what each rule left out is counted."""
        extraction = self._extract(record.long_caption)
        phrases = tuple(Phrase(p.text, p.head, p.long) for p in extraction.phrases)
        return replace(record, phrases=phrases).dropping(self.name, extraction.dropped)

    def identity(self) -> dict[str, Any]:
        """Returns the backend, its model, and the versions of model, lexicon and rules."""
        return identity(self.config)

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns the backend's model and version."""
        used = self.identity()
        return {
            "model": used.get("model"),
            "revision": used.get("version"),
            "fingerprint": digest(used),
        }
