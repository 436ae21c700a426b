"""How many noun phrases the long captions gave, and how many of them got a box.

The dataset does not hold the phrases; they are extracted again, with the build's own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finehard.digest import digest
from finehard.errors import UsageError
from finehard.phrases import Extraction, PhrasesConfig, extractor, identity


@dataclass
class Expressions:
    """Counts over `samples` samples; all 0 if the phrases cannot be extracted again."""

    samples: int = 0
    asked: int = 0
    """Phrases given to the detector."""
    boxed: int = 0
    """Those of them that have a region."""

    def add(self, sample: dict[str, Any], extraction: Extraction) -> None:
        """Adds a sample and the phrases extracted from its long caption."""
        texts = {phrase.text for phrase in extraction.phrases}
        self.samples += 1
        self.asked += len(extraction.phrases)
        self.boxed += len({region["phrase"] for region in sample["regions"]} & texts)


def build_extractor(manifest: dict[str, Any]) -> Callable[[str], Extraction] | None:
    """The extractor that the build used; None if this installation has a different one."""
    used = manifest.get("stages", {}).get("phrases", {}).get("fingerprint")
    try:
        config = PhrasesConfig(**manifest["config"]["phrases"])
        return extractor(config) if used == digest(identity(config)) else None
    except (KeyError, TypeError, UsageError):
        return None
