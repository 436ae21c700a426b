"""Parquet files with the images in them, which Hugging Face datasets loads with its own types."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.dataset.reader import Dataset
from finehard.dataset.regions import REGION_SCHEMA
from finehard.export.target import Target, by_shard

_ROWS = 100
"""Rows in memory, and in a row group: a viewer reads one group."""
_OF_REGION = ("box", "score", "phrase", "short_expr", "long_expr", "verified", "hard_negatives")
_TEXTS = ("alt_text", "short_caption", "long_caption")
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("width", pa.int32()),
        ("height", pa.int32()),
        *((name, pa.string()) for name in ("sha256", "source_uri", "url", "license", *_TEXTS)),
        ("regions", pa.list_(pa.struct([REGION_SCHEMA.field(name) for name in _OF_REGION]))),
    ],
    {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
)


def write(dataset: Dataset, target: Target) -> None:
    """Writes data/train-*.parquet, one for each shard: a row is a sample with all its regions."""
    for number, (_, samples) in enumerate(by_shard(dataset)):
        name = f"data/train-{number:05d}-of-{len(dataset.shards):05d}.parquet"
        with (
            target.writing(name) as file,
            pq.ParquetWriter(file, _SCHEMA, compression="zstd") as parquet,
        ):
            rows = (_row(target, sample) for sample in samples)
            while some := list(islice(rows, _ROWS)):
                parquet.write_table(pa.Table.from_pylist(some, _SCHEMA))


def _row(target: Target, sample: Any) -> dict[str, Any]:
    meta, picture = sample.json, target.picture(sample)
    target.counts["samples"] += 1
    image = {"bytes": picture.data, "path": f"{sample.key}.{picture.suffix}"}
    return {**meta, **meta["image"], "image": image}
