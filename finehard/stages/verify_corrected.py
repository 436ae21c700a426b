"""Verification of what was corrected: the new texts of an image, and only these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finehard.records import Record
from finehard.stages.stage import AverageImage, Estimate, Stage
from finehard.stages.verify import UNCONFIRMED, Verify, VerifyConfig, confirmed


class VerifyCorrected(Verify):
    """Is each corrected region text true, and each replaced negative false?"""

    name = "verify_corrected"
    section = "verify"
    version = 1

    def __init__(self, config: VerifyConfig) -> None:
        super().__init__(config)
        self.needs = ()

    @classmethod
    def make(cls, config: VerifyConfig) -> Stage | None:
        """Returns the stage; None where nothing is corrected."""
        return cls(config) if config.policy == "correct" else None

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """Returns `record` with what is confirmed now; the rest is left out.

        Counts the corrections that are confirmed ("text_corrected", "negative_replaced") beside
        what `Verify` counts.
        """
        judged = super().answer(record, values)
        pairs = list(zip(record.regions, judged.regions, strict=True))
        corrected = [new.short_expr for old, new in pairs if new.verified and not old.verified]
        replaced = [
            after.text
            for old, new in pairs
            if new.verified
            for before, after in zip(old.hard_negatives, new.hard_negatives, strict=True)
            if after.verified and not before.verified
        ]
        counted = {"text_corrected": corrected, "negative_replaced": replaced}
        return confirmed(judged).dropping(self.name, counted)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns a request for each region with a new text."""
        if not image.regions:
            return None
        texts = 2 * UNCONFIRMED
        negatives = image.negatives * UNCONFIRMED
        new = texts + negatives
        return super().estimate(
            image._replace(regions=image.regions * min(1.0, new), negatives=negatives)
        )
