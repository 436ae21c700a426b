"""The samples of two datasets that have the same key, joined by Arrow on their indexes."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, gcd

import pyarrow as pa
import pyarrow.compute as pc

from finehard.dataset.reader import LOCATION, Dataset

_ROWS = 1_000_000
"""Rows of an index that are joined at once, about, where shards allow it."""
OTHER = "_other"
"""What is appended to columns of the second dataset."""


def joined(one: Dataset, other: Dataset) -> Iterator[pa.Table]:
    """Yields the rows of keys that are in both, sorted by key, with the columns `LOCATION` of both;
    those of `other` end in `OTHER`, and `shard` is the number of the shard.

    A key's shard is its hash modulo the number of shards, so that two datasets can be joined part
    by part where these numbers have a common divisor; where they have none, both indexes are in
    memory, some 50 bytes a row. Raises `UsageError` if an index cannot be read.
    """
    shards, others = (len(dataset.manifest["shards"]) for dataset in (one, other))
    rows = max(dataset.manifest["counts"]["written"] for dataset in (one, other))
    common = gcd(shards, others)
    wanted = ceil(rows / _ROWS)
    parts = next((n for n in range(wanted, common) if common % n == 0), common)
    for part in range(max(1, parts)):
        left, right = (_rows(dataset, part, max(1, parts)) for dataset in (one, other))
        both = left.join(right, "key", join_type="inner", right_suffix=OTHER, use_threads=False)
        yield both.sort_by("key")


def _rows(dataset: Dataset, part: int, parts: int) -> pa.Table:
    """Returns the index of the shards whose number is `part` modulo `parts`."""
    names = [shard["name"] for shard in dataset.manifest["shards"]]
    rows = dataset.rows_of(names[part::parts], LOCATION)
    numbers = pc.index_in(rows.column("shard"), pa.array(names))
    return rows.set_column(LOCATION.index("shard"), "shard", numbers)
