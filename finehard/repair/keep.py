"""The stages around a repair: what is there counts as confirmed, and afterwards as it was.

Between the two, correction and its verification see only what was found untrue and what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from finehard.digest import digest
from finehard.records import HardNegative, Record, Region
from finehard.settings.ranges import Count
from finehard.stages.stage import Settings, Stage

_OPEN = "repair.unverified"
"""In `Record.extra` between the two stages: the texts that nobody verified."""


@dataclass(frozen=True)
class KeepConfig:
    """What a repair takes as it is."""

    per_region: Count = 10
    """Hard negatives that a region should have; fewer count as missing."""
    made_by: str = ""
    """A digest of what the dataset was made by."""


class Keep(Stage):
    """Records of a dataset -> the same, with what was not found untrue marked as confirmed, and
    with a place for each hard negative that is missing."""

    name = "keep"
    config_type = KeepConfig

    def apply(self, record: Record) -> Record:
        """Returns `record` with the marks and places."""
        unverified = [
            *(_of_region(r) for r in record.regions if r.verified is None),
            *(_of_negative(r, n) for r in record.regions for n in r.hard_negatives
              if n.verified is None),
        ]  # fmt: skip
        regions = tuple(self._kept(region) for region in record.regions)
        return replace(record, regions=regions).adding(_OPEN, unverified)

    def _kept(self, region: Region) -> Region:
        negatives = [replace(n, verified=n.verified is not False) for n in region.hard_negatives]
        missing = self.config.per_region - len(negatives)
        negatives += [HardNegative("", "other", "", "", False)] * missing
        verified = region.verified is not False
        return replace(region, verified=verified, hard_negatives=tuple(negatives))

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns what the texts that were there were made by, as a digest."""
        fingerprint = digest([self.name, self.version, self.config.made_by])
        return {"model": None, "revision": self.config.made_by, "fingerprint": fingerprint}


class Unmark(Stage):
    """Repaired records -> the same, with `verified` null again where nobody was asked."""

    name = "unmark"
    section = "shards"

    def apply(self, record: Record) -> Record:
        """Returns `record` without the marks of `Keep`."""
        extra = dict(record.extra)
        unverified = {tuple(each) for each in extra.pop(_OPEN)}
        regions = tuple(_unmarked(region, unverified) for region in record.regions)
        return replace(record, regions=regions, extra=extra)

    def provenance(self, settings: Settings) -> None:
        """Left out: nothing is made here."""


def _unmarked(region: Region, unverified: set[tuple[str, ...]]) -> Region:
    negatives = tuple(
        replace(n, verified=None) if _of_negative(region, n) in unverified else n
        for n in region.hard_negatives
        if n.text
    )
    verified = None if _of_region(region) in unverified else region.verified
    return replace(region, verified=verified, hard_negatives=negatives)


def _of_region(region: Region) -> tuple[str, ...]:
    return (str(region.box), region.short_expr, region.long_expr)


def _of_negative(region: Region, negative: HardNegative) -> tuple[str, ...]:
    return (*_of_region(region), negative.text)
