"""The stages around a repair: what is there counts as confirmed, and afterwards as it was.

Between the two, correction and its verification see only what was found untrue and what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from finehard.digest import digest
from finehard.records import HardNegative, Record, Region
from finehard.release.make_sample import STAGE as RELEASE
from finehard.settings.ranges import Count
from finehard.stages.stage import Settings, Stage

_MARKS = "repair"
"""In `Record.extra` between the two stages: the texts that nobody verified, and all boxes."""


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
        boxes = [list(region.box) for region in record.regions]
        marks = {"unverified": unverified, "boxes": boxes}
        return replace(record, regions=regions).adding(_MARKS, marks)

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
        marks = extra.pop(_MARKS)
        unverified = {tuple(each) for each in marks["unverified"]}
        if RELEASE in extra:
            extra[RELEASE] = _of_those_left(extra[RELEASE], marks["boxes"], record.regions)
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


def _of_those_left(
    released: dict[str, Any], boxes: list[list[float]], regions: tuple[Region, ...]
) -> dict[str, Any]:
    """Returns what an import says of each region, for those that are left, which are in their
    order; their defects are gone."""
    left: list[int] = []
    for number, box in enumerate(boxes):
        if len(left) < len(regions) and box == list(regions[len(left)].box):
            left.append(number)
    made = dict(released)
    for name in ("scored", "negative_keys"):
        if name in made:
            made[name] = [made[name][number] for number in left]
    if "defects" in made:
        defects = made.pop("defects")
        of_captions = {n: what for n, what in defects.items() if not n.startswith("region ")}
        made |= {"defects": of_captions} if of_captions else {}
    return made


def _of_region(region: Region) -> tuple[str, ...]:
    return (str(region.box), region.short_expr, region.long_expr)


def _of_negative(region: Region, negative: HardNegative) -> tuple[str, ...]:
    return (*_of_region(region), negative.text)
