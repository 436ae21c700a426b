"""Checks regions.parquet against the samples, once index and shards are known to be right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from finehard.dataset.layout import REGIONS
from finehard.dataset.reader import open_dataset
from finehard.dataset.regions import read_regions, region_rows
from finehard.digest import digest
from finehard.errors import error_line
from finehard.io import storage


class _Rows(NamedTuple):
    """The rows of a shard, as much of them as tells whether others are equal."""

    number: int
    digest: str


def regions_problems(dataset: str) -> Iterator[str]:
    """Yields what is wrong, a line for each shard; nothing if there is no such file, as in datasets
    that were finished before there was one. Memory holds the regions of one shard."""
    uri = storage.join(dataset, REGIONS)
    if not storage.exists(uri):
        return
    expected: dict[str, _Rows] = {}
    for shard, samples in groupby(open_dataset(dataset), key=lambda sample: sample.shard):
        name = shard.rsplit("/", 1)[-1]
        rows = [row for sample in samples for row in region_rows(sample.key, name, sample.json)]
        if rows:
            expected[name] = _summed(rows)
    try:
        with storage.open_read(uri) as file:
            for name, of_shard in groupby(read_regions(file), key=lambda row: str(row["shard"])):
                found, right = _summed(list(of_shard)), expected.pop(name, None)
                if right is None:
                    yield f"{REGIONS} has rows of {name} that are not of its samples"
                elif found.number != right.number:
                    yield f"{REGIONS} has {found.number} rows of {name}, not {right.number}"
                elif found != right:
                    yield f"{REGIONS}: the rows of {name} are not what its samples say"
    except (pa.ArrowException, OSError, ValueError) as error:
        yield f"{REGIONS} cannot be read: {error_line(error, 160)}"
        return
    for name in expected:
        yield f"{REGIONS} has no rows of {name}"


def _summed(rows: list[dict[str, Any]]) -> _Rows:
    return _Rows(len(rows), digest(rows))
