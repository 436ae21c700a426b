"""How many expressions captions gave, and examples of those that each rule left out.

The dataset keeps neither; they are found again in the captions, with the rules that the build
used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finehard.digest import digest
from finehard.errors import UsageError
from finehard.phrases import Extraction, PhrasesConfig, extractor, identity

EXAMPLES_PER_RULE = 4


class LeftOut(NamedTuple):
    """A caption of which a rule left something out, and what the detector was asked for."""

    key: str
    caption: str
    asked: list[str]


@dataclass
class Expressions:
    """What was found in the captions of `samples` samples; 0 where it cannot be found again."""

    samples: int = 0
    asked: int = 0
    """Expressions that the detector was asked for."""
    boxed: int = 0
    """Those of them that a region is there for."""
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[LeftOut]] = field(default_factory=dict)

    def add(self, sample: dict[str, Any], found: Extraction) -> None:
        """Counts a sample in, of whose long caption `found` was extracted."""
        texts = [phrase.text for phrase in found.phrases]
        self.samples += 1
        self.asked += len(texts)
        self.boxed += len({region["phrase"] for region in sample["regions"]} & set(texts))
        self.dropped.update(found.dropped)
        for rule in found.dropped:
            examples = self.examples.setdefault(rule, [])
            if len(examples) < EXAMPLES_PER_RULE:
                examples.append(LeftOut(sample["key"], sample["long_caption"], texts))


def finder(manifest: dict[str, Any]) -> Callable[[str], Extraction] | None:
    """The extractor that the build used; None where this installation has another one."""
    used = manifest.get("stages", {}).get("phrases", {}).get("fingerprint")
    try:
        config = PhrasesConfig(**manifest["config"]["phrases"])
        return extractor(config) if used == digest(identity(config)) else None
    except (KeyError, TypeError, UsageError):
        return None
