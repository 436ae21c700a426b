"""The phrases stage: the long caption's groundable noun phrases into the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from finehard.config import Config
from finehard.phrases import extractor
from finehard.records import Phrase, Record

STAGE = "phrases"


def find_phrases(config: Config) -> Callable[[Record], Record]:
    """A function that fills `phrases` of a record, and tells what each rule left out."""
    extract = extractor(config.phrases)

    def phrases(record: Record) -> Record:
        found = extract(record.long_caption)
        kept = tuple(Phrase(p.text, p.head, p.long) for p in found.phrases)
        return replace(record, phrases=kept).dropping(STAGE, found.dropped)

    return phrases
