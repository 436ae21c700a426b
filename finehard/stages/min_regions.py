"""The last gate: samples with too few regions become rejects."""

from __future__ import annotations

from collections.abc import Callable

from finehard.config import Config
from finehard.records import Record, Reject, reject

STAGE = "shards"


def enough_regions(config: Config) -> Callable[[Record], Record | Reject]:
    """A function that rejects records with fewer than `shards.min_regions` regions."""
    least = config.shards.min_regions

    def keep(record: Record) -> Record | Reject:
        if len(record.regions) >= least:
            return record
        return reject(record, STAGE, "no_regions", f"{len(record.regions)} of {least}")

    return keep
