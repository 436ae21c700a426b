"""What was written for one shard, for index and manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 4
"""Of what each rule dropped, kept for the report."""


@dataclass
class ShardSummary:
    """Counts of one shard, its digest, and some examples: small, whatever the shard holds."""

    index: int
    name: str
    samples: int = 0
    rejects: int = 0
    bytes: int = 0
    sha256: str = ""
    renamed: int = 0
    regions: int = 0
    hard_negatives: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each rule that dropped something: keys of samples, and what it was of theirs."""
    usage: dict[str, list[int]] = field(default_factory=dict)

    def drop(self, rule: str, number: int, key: str, first: str) -> None:
        """Counts `number` more parts left out by `rule`; `first` is one of sample `key`'s."""
        self.dropped[rule] += number
        told = self.examples.setdefault(rule, [])
        if len(told) < EXAMPLES:
            told.append((key, first))

    def account(self, key: str, item: dict[str, Any]) -> None:
        """Adds what the rules dropped of sample or reject `key`, and what it cost."""
        for rule, (number, first) in item["dropped"].items():
            self.drop(rule, number, key, first)
        for stage, spent in item["usage"].items():
            total = self.usage.setdefault(stage, [0, 0, 0])
            for place, value in enumerate(spent):
                total[place] += value
