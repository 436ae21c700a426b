"""Checks the table of regions against the samples, once index and shards are known to be right."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from finehard.dataset.layout import REGIONS
from finehard.dataset.parts import table_files
from finehard.dataset.regions import REGION_SCHEMA
from finehard.dataset.runs import Run, read_run, runs
from finehard.dataset.validate_shard import RegionRows, summed
from finehard.errors import error_line
from finehard.io.processes import Each


def regions_problems(dataset: str, expected: dict[str, RegionRows], each: Each) -> Iterator[str]:
    """Yields what is wrong, a line for each shard; nothing if there is no such table, as in
    datasets that were finished before there was one. `expected` is what the samples of each shard
    say that has regions; files are read with `each`, one run of rows at a time."""
    files = table_files(dataset, REGIONS)
    if not files:
        return
    left = dict(expected)
    try:
        found = [run for uri in files for run in runs(uri, REGION_SCHEMA)]
        for run, rows in zip(found, each(_summed, found), strict=True):
            name, right = str(run.shard), left.pop(str(run.shard), None)
            if isinstance(rows, str):
                yield f"{REGIONS} cannot be read: {rows}"
                return
            if right is None:
                yield f"{REGIONS} has rows of {name} that are not of its samples"
            elif rows.number != right.number:
                yield f"{REGIONS} has {rows.number} rows of {name}, not {right.number}"
            elif rows != right:
                yield f"{REGIONS}: the rows of {name} are not what its samples say"
    except (pa.ArrowException, OSError, ValueError) as error:
        yield f"{REGIONS} cannot be read: {error_line(error, 160)}"
        return
    for name in left:
        yield f"{REGIONS} has no rows of {name}"


def _summed(run: Run) -> RegionRows | str:
    """Returns what tells the rows from others, or why they cannot be read."""
    try:
        return summed(read_run(run).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        return error_line(error, 160)
