"""The last stage: rejects samples with fewer regions than `shards.min_regions`."""

from __future__ import annotations

from finehard.records import Record, Reject, reject
from finehard.stages.stage import Settings, Stage


class MinRegions(Stage):
    """Samples with too few regions left -> rejects."""

    name = "min_regions"
    section = "shards"

    def apply(self, record: Record) -> Record | Reject:
        """Returns `record`, or a reject, which names the section of the setting as its stage."""
        number, least = len(record.regions), self.config.min_regions
        if number >= least:
            return record
        return reject(record, self.section, "no_regions", f"{number} of {least}")

    def provenance(self, settings: Settings) -> None:
        """Left out: nothing is made here, and the setting is in the manifest's config."""
