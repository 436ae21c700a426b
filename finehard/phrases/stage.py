"""The phrases stage: extracts groundable noun phrases from the long caption by rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finehard.digest import digest
from finehard.phrases import PhrasesConfig, extractor, identity
from finehard.records import Phrase, Record
from finehard.stages.stage import Settings, Stage


class Phrases(Stage):
    """Long caption -> noun phrases for the detector."""

    name = "phrases"
    config_type = PhrasesConfig

    def check(self, settings: Settings) -> None:
        """Raises `UsageError` if the phrase backend is not installed."""
        identity(self.config)

    def prepare(self) -> None:
        """Loads the parser or the lexicon, which takes a second or two."""
        self._extract = extractor(self.config)

    def apply(self, record: Record) -> Record:
        """Returns `record` with its phrases, and counts of what each rule dropped."""
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
