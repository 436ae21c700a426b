"""The counts of one shard, for the manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 4
"""Maximum number of examples per rule of what it dropped, for the report."""


@dataclass
class ShardSummary:
    """Counts of one shard, its digest, and a few examples; its size is bounded."""

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
    """For each rule that dropped something: (key of the sample, what was dropped)."""
    usage: dict[str, list[int]] = field(default_factory=dict)

    def drop(self, rule: str, number: int, key: str, first: str) -> None:
        """Counts `number` parts that `rule` dropped of sample `key`; `first` is one of them, or
        empty where none is to be shown."""
        self.dropped[rule] += number
        if not first:
            return
        examples = self.examples.setdefault(rule, [])
        if len(examples) < EXAMPLES:
            examples.append((key, first))

    def account(self, key: str, item: dict[str, Any]) -> None:
        """Adds the drops and the cost of the finished sample or reject `key`."""
        for rule, (number, first) in item["dropped"].items():
            self.drop(rule, number, key, first)
        for stage, spent in item["usage"].items():
            total = self.usage.setdefault(stage, [0, 0, 0])
            for i, value in enumerate(spent):
                total[i] += value
