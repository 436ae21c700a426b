"""Merges what the shards of a part left into one part of each table, and one small summary.

The parts of a dataset are merged by different workers; what completes the dataset sees of each only
its `PartSummary`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.dataset.layout import INDEX, REGIONS
from finehard.dataset.parts import (
    part_name,
    part_of,
    remove_other_parts,
)
from finehard.dataset.regions import REGION_SCHEMA, region_tables, regions_part
from finehard.dataset.summary import EXAMPLES, ShardSummary
from finehard.dataset.tables import INDEX_SCHEMA, index_part
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.io.parquet import read_table
from finehard.io.processes import Each

T = TypeVar("T")
Check = Callable[[], None]
"""Called before a file is replaced; raises if another run is to write the dataset."""

_GROUP_ROWS, _GROUP_BYTES = 100_000, 64 << 20
"""Rows, and bytes in memory, from which on a row group of a table with parts is full."""


def at_will() -> None:
    """The `Check` of a dataset that nobody else writes."""


@dataclass
class PartSummary:
    """What the manifest says of the shards of a part, and their counts in sum."""

    part: int
    parts: int
    shards: list[dict[str, Any]]
    counts: Counter[str] = field(default_factory=Counter)
    """Of the counts of the manifest, those of samples that were written and of rejects."""
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    usage: dict[str, list[int]] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def by_part(of_shards: Sequence[T], parts: int) -> list[list[T]]:
    """Returns what there is of each shard, given in their order, by part."""
    found: list[list[T]] = [[] for _ in range(parts)]
    for number, each in enumerate(of_shards):
        found[part_of(number, len(of_shards), parts)].append(each)
    return found


def merge_part(
    output: str,
    run: str,
    part: int,
    parts: int,
    summaries: Iterable[ShardSummary],
    check: Check = at_will,
) -> PartSummary:
    """Writes part `part` of `parts` of the two tables, from the rows that `run` wrote for the
    shards that `summaries` are of. May be repeated, also at the same time: the bytes are the same,
    and each file appears whole."""
    ordered = sorted(summaries, key=lambda summary: summary.index)
    merge_rows(output, run, part, parts, [summary.name for summary in ordered], check)
    return of_part(part, parts, ordered)


def of_part(part: int, parts: int, ordered: Iterable[ShardSummary]) -> PartSummary:
    """Returns what `ordered`, the summaries of all shards of a part, come to."""
    made = PartSummary(part, parts, [])
    for summary in ordered:
        made.shards.append(_listed(summary))
        made.counts.update(
            written=summary.samples,
            rejected=summary.rejects,
            renamed_keys=summary.renamed,
            regions=summary.regions,
            hard_negatives=summary.hard_negatives,
        )
        _add(made, summary)
    return made


def summed(parts: Iterable[PartSummary]) -> PartSummary:
    """Returns the counts and examples of all `parts`, in their order; its shards are all."""
    total = PartSummary(0, 1, [])
    for part in parts:
        total.shards += part.shards
        total.counts.update(part.counts)
        _add(total, part)
    return total


def _add(total: PartSummary, other: ShardSummary | PartSummary) -> None:
    total.reasons.update(other.reasons)
    total.dropped.update(other.dropped)
    for stage, spent in other.usage.items():
        before = total.usage.get(stage, [0, 0, 0])
        total.usage[stage] = [a + b for a, b in zip(before, spent, strict=True)]
    for rule, dropped in other.examples.items():
        total.examples[rule] = [*total.examples.get(rule, ()), *dropped][:EXAMPLES]


def _listed(summary: ShardSummary) -> dict[str, Any]:
    return {"name": f"{summary.name}.tar", "samples": summary.samples, "bytes": summary.bytes,
            "sha256": summary.sha256}  # fmt: skip


def merge_tables(output: str, run: str, names: Sequence[str], parts: int, each: Each) -> None:
    """Writes both tables in `parts` parts, which are merged with `each`, from the rows that `run`
    wrote for all shards, `names` in their order."""
    grouped = list(enumerate(by_part(names, parts)))
    list(each(partial(_merge_rows, output, run, parts), grouped))
    remove_other_parts(output, parts)


def _merge_rows(output: str, run: str, parts: int, group: tuple[int, list[str]]) -> None:
    merge_rows(output, run, group[0], parts, group[1])


def merge_rows(
    output: str,
    run: str,
    part: int,
    parts: int,
    names: Sequence[str],
    check: Check = at_will,
) -> None:
    """Writes a part of the index and of the regions from the rows of the shards `names`. Memory
    holds a row group and the rows of a few shards."""
    index = ordered_map(storage.read_all, (index_part(output, run, name) for name in names))
    of_index = (read_table(pa.BufferReader(data), schema=INDEX_SCHEMA) for data in index)
    uri = storage.join(output, part_name(INDEX, part, parts))
    _write(uri, INDEX_SCHEMA, of_index if parts == 1 else _filled(of_index), check)
    regions = ordered_map(
        storage.read_all, (regions_part(output, run, name) for name in names), at_once=2
    )
    of_regions = (table for data in regions for table in region_tables(pa.BufferReader(data)))
    uri = storage.join(output, part_name(REGIONS, part, parts))
    _write(uri, REGION_SCHEMA, of_regions if parts == 1 else _filled(of_regions), check)


def _filled(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yields the rows of `tables` in full row groups, cut where a table ends."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def _write(uri: str, schema: pa.Schema, groups: Iterable[pa.Table], check: Check) -> None:
    """Writes a Parquet file with a row group for each of `groups`."""
    with storage.writing(uri) as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as table:
            for group in groups:
                table.write_table(group)
        check()
