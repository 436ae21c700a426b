"""The files of the two tables: one each, or of a large dataset a part for each thousand shards.

Everything that reads or writes index or regions gets the names of their files here.
"""

from __future__ import annotations

import re

import pyarrow.parquet as pq

from finehard.dataset.layout import INDEX, REGIONS
from finehard.io import storage
from finehard.io.ordered_map import ordered_map

SHARDS_PER_PART = 1000
"""Shards of a part, at most; a dataset that has no more has one file a table."""
TABLES = (INDEX, REGIONS)
_PART = re.compile(r"part-([0-9]{5,})-of-([0-9]{5,})\.parquet")
_SHARD = re.compile(r"finehard-([0-9]+)-of-([0-9]+)\.tar")


def part_count(shards: int, most: int = SHARDS_PER_PART) -> int:
    """Returns the number of parts for `shards` shards, at most `most` in a part."""
    return max(1, -(-shards // most))


def part_of(shard: int, shards: int, parts: int) -> int:
    """Returns the part of the rows of shard number `shard` of `shards`: neighbours are together,
    and parts are of equal size."""
    return shard * parts // shards


def part_name(table: str, part: int, parts: int) -> str:
    """Returns the name of a part of `table` (`INDEX`, `REGIONS`) in the dataset."""
    if parts == 1:
        return table
    return f"{_folder(table)}/part-{part:05d}-of-{parts:05d}.parquet"


def table_names(dataset: str, table: str) -> list[str]:
    """Returns the names of the files of `table` in their order, those of missing parts too; none
    if the dataset has no such table. Costs one or two requests."""
    if storage.exists(storage.join(dataset, table)):
        return [table]
    found = [name for name in _listed(dataset, table) if _PART.fullmatch(name)]
    parts = int(found[-1].removesuffix(".parquet").rpartition("-")[2]) if found else 0
    return [part_name(table, part, parts) for part in range(parts)]


def table_files(dataset: str, table: str) -> list[str]:
    """Returns the paths or URIs of `table_names`."""
    return [storage.join(dataset, name) for name in table_names(dataset, table)]


def with_shard(files: list[str], shard: str) -> list[str]:
    """Returns those of `files`, which are all of a table, that can hold rows of `shard`, the file
    name of a tar."""
    numbers = _SHARD.fullmatch(shard)
    number, shards = map(int, numbers.groups()) if numbers else (0, 0)
    if not files or number >= shards:
        return files
    return [files[part_of(number, shards, len(files))]]


def listed_tables(dataset: str) -> dict[str, list[dict[str, object]]]:
    """Returns what the manifest says of tables that have parts: name, rows and bytes of each."""
    return {
        _folder(table): list(ordered_map(lambda name: _listed_part(dataset, name), names))
        for table in TABLES
        if len(names := table_names(dataset, table)) > 1
    }


def remove_other_parts(dataset: str, parts: int) -> None:
    """Deletes the files of tables that are not of `parts` parts, as an earlier build left them."""
    for table in TABLES:
        ours = {part_name(table, part, parts) for part in range(parts)}
        there = [f"{_folder(table)}/{name}" for name in _listed(dataset, table)]
        storage.delete(storage.join(dataset, n) for n in [table, *there] if n not in ours)


def is_part(name: str) -> bool:
    """Returns whether `name` is that of a part in a dataset."""
    folder, _, last = name.rpartition("/")
    return folder in map(_folder, TABLES) and bool(_PART.fullmatch(last))


def _folder(table: str) -> str:
    return table.removesuffix(".parquet")


def _listed(dataset: str, table: str) -> list[str]:
    folder = storage.join(dataset, _folder(table))
    return [file.uri.rsplit("/", 1)[1] for file in storage.glob(folder, "")]


def _listed_part(dataset: str, name: str) -> dict[str, object]:
    uri = storage.join(dataset, name)
    with storage.open_read(uri) as file:
        rows = pq.read_metadata(file).num_rows
    return {"name": name, "rows": rows, "bytes": storage.size(uri)}
