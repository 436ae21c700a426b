"""The source format of a repair: shards of a finished dataset, with all their annotations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finehard.dataset.shard import Sample, UnreadableSample, scan_shard
from finehard.records import Bytes, HardNegative, Record, Region, Reject
from finehard.schemas import why_invalid
from finehard.sources import Loaded, SourceConfig, SourceFile, Unit

SPEC = "finehard.repair.source:Shards"


class Shards:
    """Reads a shard as one unit. A record's `source` is the image's first one, not the shard, so
    that `source_uri` stays; keys stay too."""

    suffixes = (".tar",)

    @staticmethod
    def count(file: SourceFile, config: SourceConfig) -> int:
        """Returns the number of samples, by the headers of the tar."""
        return len(scan_shard(file.uri))

    @staticmethod
    def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
        """Yields the samples; one that is damaged is a reject."""
        shard = scan_shard(unit.file.uri)
        if shard.damage:
            where = f"{unit.file.uri}#@damage"
            yield Reject(f"{unit.id}_damage", where, "source", "unreadable_archive", shard.damage)
        for sample in shard:
            yield _loaded(sample, unit)


def _loaded(sample: Sample, unit: Unit) -> Loaded | Reject:
    source = f"{unit.file.uri}#{sample.key}"
    try:
        values, data, place = sample.json, sample.image_bytes, sample.image_place
    except UnreadableSample as error:
        return Reject(sample.key, source, "source", "unreadable_image", str(error)[:300])
    if wrong := why_invalid(values, "sample"):
        return Reject(sample.key, source, "source", "unreadable_image", f"its JSON: {wrong}"[:300])
    assert place is not None  # its bytes were read
    return Loaded(_record(values, unit.id, place), data)


def _record(sample: dict[str, Any], unit: str, place: Bytes) -> Record:
    image = sample["image"]
    return Record(
        sample["key"], image["source_uri"], unit, place, image["sha256"], sample["alt_text"],
        image["url"], image["license"], image["format"], image["width"], image["height"],
        sample["short_caption"], sample["long_caption"],
        regions=tuple(map(_region, sample["regions"])), extra=dict(sample.get("extra", {})),
    )  # fmt: skip


def _region(region: dict[str, Any]) -> Region:
    negatives = tuple(HardNegative(**negative) for negative in region["hard_negatives"])
    return Region(**{**region, "box": tuple(region["box"]), "hard_negatives": negatives})
