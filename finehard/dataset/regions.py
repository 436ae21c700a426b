"""regions.parquet: a row for each region, so that a query needs no shard."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.dataset.layout import side_files
from finehard.io import storage

REGION_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("number", pa.int32()),
        ("box", pa.list_(pa.float64())),
        ("score", pa.float64()),
        ("phrase", pa.string()),
        ("short_expr", pa.string()),
        ("long_expr", pa.string()),
        ("verified", pa.bool_()),
        (
            "hard_negatives",
            pa.list_(
                pa.struct(
                    [
                        *((n, pa.string()) for n in ("text", "attribute", "original")),
                        ("replacement", pa.string()),
                        ("verified", pa.bool_()),
                    ]
                )
            ),
        ),
        ("short_caption", pa.string()),
        ("long_caption", pa.string()),
    ]
)
"""A row per region; `number` is its place in the sample, from 0, and `box` is x1, y1, x2, y2 as in
the sample. The captions are those of its image."""
_ROWS = 4096


def regions_part(output: str, run: str, name: str) -> str:
    """Returns the file of the regions of shard `name` until all are put together."""
    return storage.join(side_files(output, run, "_regions"), name + ".parquet")


def region_rows(key: str, shard: str, sample: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows of a sample, `shard` being the file name of the tar that it is in."""
    captions = {name: sample[name] for name in ("short_caption", "long_caption")}
    return [
        {"key": key, "shard": shard, "number": number, **region, **captions}
        for number, region in enumerate(sample["regions"])
    ]


class RegionWriter:
    """Writes rows to a Parquet file, some thousands at a time, so that few are in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._parquet = pq.ParquetWriter(file, REGION_SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> RegionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._parquet.close()

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Appends `rows`."""
        self._rows += rows
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._parquet.write_table(pa.Table.from_pylist(self._rows, REGION_SCHEMA))
            self._rows = []


def region_tables(file: Any) -> Iterator[pa.Table]:
    """Yields the rows of an opened Parquet file of regions, some thousands at a time.

    Raises `ValueError` if the columns are not those of `REGION_SCHEMA`.
    """
    parquet = pq.ParquetFile(file)
    if not parquet.schema_arrow.equals(REGION_SCHEMA):
        raise ValueError("other columns than expected")
    for batch in parquet.iter_batches(_ROWS, use_threads=False):
        yield pa.Table.from_batches([batch])
