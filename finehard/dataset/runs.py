"""Rows of a table that stand together and are of one shard: found, and read without the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finehard.io import storage


class Run(NamedTuple):
    """Rows `start` to `stop` of the table file `uri`, all with the same `shard`."""

    uri: str
    shard: Any
    start: int
    stop: int


def runs(uri: str, schema: pa.Schema) -> Iterator[Run]:
    """Yields the runs of the table file `uri`, in its order; reads the column `shard` only.

    Raises `ValueError` if the columns are not those of `schema`.
    """
    with storage.open_read(uri) as file:
        opened = pq.ParquetFile(file)
        if not opened.schema_arrow.equals(schema):
            raise ValueError("other columns than expected")
        run: Run | None = None
        start = 0
        for batch in opened.iter_batches(columns=["shard"], use_threads=False):
            encoded = pc.run_end_encode(batch.column("shard"))
            for shard, end in zip(
                encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True
            ):
                if run is not None and run.shard == shard:
                    run = run._replace(stop=start + end)
                    continue
                if run is not None:
                    yield run
                run = Run(uri, shard, run.stop if run else 0, start + end)
            start += batch.num_rows
        if run is not None:
            yield run


def read_run(run: Run) -> pa.Table:
    """Returns the rows of `run`. Only the row groups that hold them are read."""
    with storage.open_read(run.uri) as file:
        opened = pq.ParquetFile(file)
        groups: list[int] = []
        first = end = 0
        for number in range(opened.num_row_groups):
            begin, end = end, end + opened.metadata.row_group(number).num_rows
            if begin < run.stop and run.start < end:
                first = first if groups else begin
                groups.append(number)
        table = opened.read_row_groups(groups, use_threads=False)
    return table.slice(run.start - first, run.stop - run.start)
