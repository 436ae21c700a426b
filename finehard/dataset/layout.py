"""Where everything lies in a dataset, and which shard a key belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.digest import number
from finehard.settings.ranges import Count, Positive, Quality

MANIFEST = "manifest.json"
INDEX = "index.parquet"
SIZES = "sizes.json"
CARD = "README.md"
CROISSANT = "croissant.json"
REPORT = "report.html"
JOURNAL = "_journal"
DROPPED = "_dropped.json"
"""In the journal's folder: examples of what each rule left out, for the report."""
SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class ShardsConfig:
    """How samples are written."""

    samples_per_shard: Positive = 1000
    """About; keys are spread over shards by hash."""
    min_regions: Count = 0
    """Samples with fewer regions are rejected; FineHARD itself has 1."""
    image_side: Positive | None = None
    """Longest side in pixels of the images written; None: bytes as they came."""
    image_quality: Quality = 90
    """JPEG quality where images are resized."""


def shard_count(samples: int, config: ShardsConfig) -> int:
    """How many shards a dataset of `samples` inputs has."""
    return max(1, -(-samples // config.samples_per_shard))


def shard_of(key: str, count: int) -> int:
    """The shard of `key`, which is a sample's key before a "~n" told it from its doubles."""
    return number(key.split("~", 1)[0]) % count


def shard_name(index: int, count: int) -> str:
    """File name without suffix, of shard `index` of `count`."""
    return f"finehard-{index:05d}-of-{count:05d}"
