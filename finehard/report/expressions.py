"""How many expressions captions gave.

The dataset does not keep them; they are found again in the captions, with the rules that the build
used.
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
    """What was found in the captions of `samples` samples; 0 where it cannot be found again."""

    samples: int = 0
    asked: int = 0
    """Expressions that the detector was asked for."""
    boxed: int = 0
    """Those of them that a region is there for."""

    def add(self, sample: dict[str, Any], found: Extraction) -> None:
        """Counts a sample in, of whose long caption `found` was extracted."""
        texts = {phrase.text for phrase in found.phrases}
        self.samples += 1
        self.asked += len(found.phrases)
        self.boxed += len({region["phrase"] for region in sample["regions"]} & texts)


def finder(manifest: dict[str, Any]) -> Callable[[str], Extraction] | None:
    """The extractor that the build used; None where this installation has another one."""
    used = manifest.get("stages", {}).get("phrases", {}).get("fingerprint")
    try:
        config = PhrasesConfig(**manifest["config"]["phrases"])
        return extractor(config) if used == digest(identity(config)) else None
    except (KeyError, TypeError, UsageError):
        return None
