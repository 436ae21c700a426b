"""The files of a dataset, and which shard a key belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from finehard.digest import number
from finehard.io.storage import JOURNAL
from finehard.settings.ranges import Count, Positive, Quality

MANIFEST = "manifest.json"
INDEX = "index.parquet"
REGIONS = "regions.parquet"
SIZES = "sizes.json"
CARD = "README.md"
CROISSANT = "croissant.json"
REPORT = "report.html"
DROPPED = "_dropped.json"
"""In the journal's folder: examples of what each rule left out, for the report."""
SIDE_FILES = ("_records", "_images", "_index", "_regions")
"""In the journal's folder, while a build runs: finished samples, images that are nowhere else, and
parts of the two tables."""
REMOVING = "_removing.json"
"""In the journal's folder, while samples are removed: what is to be done."""
CHECKPOINTS = "_units"
"""In the journal's folder: what units of work came to, for later runs."""
SCHEMA_VERSION = "1.0"

JOINED = "_joined"
"""In the journal's folder, while processes build an output together: who they are, and what each
has claimed and done."""


@dataclass(frozen=True)
class ShardsConfig:
    """How samples are written."""

    samples_per_shard: Positive | None = None
    """About; keys are spread over shards by hash. None: 1,000, or 10,000 from 10 million inputs on;
    a dataset that was begun keeps what it has."""
    min_regions: Count = 0
    """Samples with fewer regions are rejected; FineHARD itself has 1."""
    image_side: Positive | None = None
    """Longest side in pixels of the images written; None: bytes as they came."""
    image_quality: Quality = 90
    """JPEG quality where images are resized."""


_SMALL, _LARGE = 1_000, 10_000
_LARGE_FROM = 10_000_000
"""Inputs from which on shards have `_LARGE` samples, unless the config says how many."""
SHARD_NAME = re.compile("finehard-[0-9]{5,}-of-[0-9]{5,}")
"""What `shard_name` returns."""


def side_files(output: str, run: str, kind: str) -> str:
    """Returns the folder of the side files of one `kind` of `run`."""
    return "/".join([output.rstrip("/"), JOURNAL, kind, run])


def split_key(key: str) -> tuple[str, int]:
    """Returns the key that an image came with, and the how many-eth of that key it is ("KEY~2"):
    what samples are sorted by."""
    base, _, number = key.partition("~")
    return base, int(number) if number.isdecimal() else 1


def shard_size(samples: int, config: ShardsConfig) -> int:
    """Returns how many samples a shard is to have, of `samples` inputs."""
    return config.samples_per_shard or (_LARGE if samples >= _LARGE_FROM else _SMALL)


def shard_count(samples: int, config: ShardsConfig) -> int:
    """Returns the number of shards for `samples` inputs."""
    return max(1, -(-samples // shard_size(samples, config)))


def shard_of(key: str, count: int) -> int:
    """Returns the index of the shard of `key`, not counting a "~n" that tells equal keys apart."""
    return number(key.split("~", 1)[0]) % count


def shard_name(index: int, count: int) -> str:
    """Returns the file name, without suffix, of shard `index` of `count`."""
    return f"finehard-{index:05d}-of-{count:05d}"
