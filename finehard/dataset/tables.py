"""The tables beside the shards: a row for each sample, a row for each reject."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.dataset.layout import side_files
from finehard.io import storage

REJECT_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "source", "stage", "reason", "detail")]
)
_MEMBERS = ("image", "json")
INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        *((f"{m}_{field}", pa.int64()) for m in _MEMBERS for field in ("offset", "size")),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("regions", pa.int32()),
        ("hard_negatives", pa.int32()),
        ("long_words", pa.int32()),
        ("short_words", pa.int32()),
        ("sha256", pa.string()),
        ("source", pa.string()),
    ]
)
"""A row per sample. Offsets and sizes are of the members' data in the tar, in bytes."""


def index_part(output: str, run: str, name: str) -> str:
    """Returns the file of a shard's rows until the index is put together."""
    return storage.join(side_files(output, run, "_index"), name + ".parquet")


def described(sample: dict[str, Any]) -> dict[str, Any]:
    """Returns the index columns that describe a sample, without those that locate it."""
    return {
        "format": sample["image"]["format"],
        "width": sample["image"]["width"],
        "height": sample["image"]["height"],
        "regions": len(sample["regions"]),
        "hard_negatives": sum(len(r["hard_negatives"]) for r in sample["regions"]),
        "long_words": len(sample["long_caption"].split()),
        "short_words": len(sample["short_caption"].split()),
        "sha256": sample["image"]["sha256"],
        "source": sample["image"]["source_uri"],
    }


def write_table(uri: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Writes `rows` as a Parquet file, whole or not at all."""
    with storage.writing(uri) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
