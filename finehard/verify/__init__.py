"""Verification: is each region text true of its cut-out, and each hard negative false?

All statements on an image are put in one request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from finehard.prompts import fence, load_prompt
from finehard.records import HardNegative, Record, Region
from finehard.schemas import reply_schema
from finehard.stage import Ask, numbered

VERSION = 3


@dataclass(frozen=True)
class VerifyConfig:
    """How texts are verified. `model` is a name under `models`."""

    model: str = "lmm"
    prompt: str = "verify.v1"
    policy: Literal["drop", "mark", "skip"] = "drop"
    """What becomes of a text that is not confirmed: left out, or kept with verified = false. With
    "skip" nothing is asked, and verified is null."""
    text_true: float = 0.5
    """A region's texts are confirmed when each is true with at least this probability."""
    negative_true: float = 0.5
    """A negative is confirmed when it is true with less than this probability."""
    max_tokens: int = 8
    """Per statement."""


class Verify:
    """The verification stage."""

    name = "verify"

    def __init__(self, config: VerifyConfig) -> None:
        self.config = config
        self.model = config.model
        self.prompt = load_prompt(config.prompt, "verify", ("images", "statements", "count"))

    def identity(self) -> dict[str, Any]:
        """Prompt hash and code version."""
        return {"prompt": self.prompt.sha256, "version": VERSION}

    def question(self, record: Record) -> Ask | None:
        """The cut-outs, and for each its two texts and its negatives as statements."""
        if not record.regions or self.config.policy == "skip":
            return None
        statements = [
            f"Image {number}: {fence(text, 300)}"
            for number, region in enumerate(record.regions, 1)
            for text in _texts(region)
        ]
        return Ask(
            self.prompt.render(
                images=len(record.regions), statements=numbered(statements), count=len(statements)
            ),
            tuple(region.box for region in record.regions),
            reply_schema("verify", len(statements)),
            32 + self.config.max_tokens * len(statements),
            ("yes", "no"),
        )

    def answer(self, record: Record, value: Any) -> Record:
        """`record` with `verified` set on regions and negatives, and the policy applied."""
        true: Iterator[float] = iter(value[str(n)] for n in range(1, len(value) + 1))
        untrue: list[str] = []
        true_negatives: list[str] = []
        drop = self.config.policy == "drop"
        regions = []
        for region in record.regions:
            confirmed = all([next(true) >= self.config.text_true for _ in _own_texts(region)])
            negatives = [
                replace(n, verified=next(true) < self.config.negative_true)
                for n in region.hard_negatives
            ]
            kept: list[HardNegative] = [n for n in negatives if n.verified or not drop]
            true_negatives += [n.text for n in negatives if not n.verified]
            if not confirmed:
                untrue.append(region.short_expr)
                if drop:
                    continue
            regions.append(replace(region, verified=confirmed, hard_negatives=tuple(kept)))
        told = {"text_untrue": untrue, "negative_true": true_negatives}
        return replace(record, regions=tuple(regions)).dropping(self.name, told)


def _own_texts(region: Region) -> list[str]:
    return list(dict.fromkeys((region.short_expr, region.long_expr)))


def _texts(region: Region) -> list[str]:
    return [*_own_texts(region), *(negative.text for negative in region.hard_negatives)]
