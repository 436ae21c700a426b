"""A finished dataset, opened: its manifest, and samples read one by one from the shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow.parquet as pq

from finehard.dataset.layout import DROPPED, INDEX, JOURNAL, MANIFEST
from finehard.errors import UsageError
from finehard.io import storage
from finehard.records import Bytes

MAX_JSON = 4 << 20
"""Bytes of a sample's JSON that are read at most; a longer one is no honest sample."""
_READERS = 16


@dataclass(frozen=True)
class Dataset:
    """A dataset's folder or URI, and its manifest."""

    uri: str
    manifest: dict[str, Any]

    def rows(self, columns: list[str], at_once: int = 65_536) -> Iterator[Any]:
        """The index, in record batches of some columns; memory holds one batch."""
        with storage.open_read(storage.join(self.uri, INDEX)) as file:
            yield from pq.ParquetFile(file).iter_batches(at_once, columns=columns)

    def where(self, row: dict[str, Any], member: str) -> Bytes:
        """Where the `image` or `json` of an index row lies."""
        uri = storage.join(self.uri, "shards", row["shard"])
        return Bytes(uri, row[f"{member}_offset"], row[f"{member}_size"])

    def samples(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The samples of index rows, in their order. Raises `UsageError` where one cannot be
        read."""
        if not storage.is_remote(self.uri):
            yield from map(self.sample, rows)
            return
        with ThreadPoolExecutor(_READERS) as pool:
            yield from pool.map(self.sample, rows)

    def sample(self, row: dict[str, Any]) -> dict[str, Any]:
        """The sample of an index row. Raises `UsageError` where it cannot be read."""
        try:
            if row["json_size"] > MAX_JSON:
                raise ValueError(f"its JSON has {row['json_size']} bytes")
            sample = orjson.loads(storage.read(self.where(row, "json")))
            if sample["key"] != row["key"]:
                raise ValueError("another sample lies there")
            return sample
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            line = " ".join(str(error).split())[:160]
            raise UsageError(
                f"{self.uri}: sample {row['key']} cannot be read from {row['shard']} ({line}); "
                "finehard validate tells what is damaged"
            ) from None


def examples_dropped(uri: str) -> dict[str, list[tuple[str, str]]]:
    """Of rules that dropped parts of samples in the dataset at `uri`: keys, and the first part
    dropped there. Empty where the journal was taken away."""
    try:
        told = orjson.loads(storage.read_all(storage.join(uri, JOURNAL, DROPPED)))
        return {str(rule): [(str(key), str(what)) for key, what in found]
                for rule, found in told.items()}  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def open_dataset(uri: str) -> Dataset:
    """The dataset at `uri`. Raises `UsageError` where none is, or one that is not finished."""
    uri = storage.local(uri)
    if not storage.is_dir(uri):
        raise UsageError(f"dataset {uri} does not exist")
    try:
        manifest = json.loads(storage.read_all(storage.join(uri, MANIFEST)))
    except (OSError, ValueError):
        raise UsageError(
            f"{uri} has no {MANIFEST}: no dataset, or its build did not finish (run it again)"
        ) from None
    if not isinstance(manifest, dict) or not {"counts", "shards", "config"} <= manifest.keys():
        raise UsageError(f"{storage.join(uri, MANIFEST)} is not a dataset's manifest")
    return Dataset(uri, manifest)
