"""First step of a pass: each picture of a shard decoded once, judged, and its fingerprint taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from finehard.curate.bands import Hashes
from finehard.curate.compare import Look
from finehard.curate.embeddings import WORDS
from finehard.curate.embeddings import hashes as vector_hashes
from finehard.curate.fingerprint import THUMBNAIL, VIEWS, fingerprint
from finehard.curate.reason import Reason
from finehard.curate.work import Work
from finehard.dataset.reader import open_dataset
from finehard.dataset.shard import Sample
from finehard.images import ImageError
from finehard.io import storage
from finehard.records import Bytes, Record

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("pixels", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.binary(32)),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
"""A row per sample of a shard; `reason` is null for those that stay so far. Only these have
fingerprints, in the same order."""
_LOOK = np.dtype([("thumbnail", np.uint8, (THUMBNAIL, THUMBNAIL, 3)), ("edges", np.float32, 2)])
_SHOWN_SIDE = 1024
"""Longest side of the decoded pictures, as in a build."""


def measure_shard(work: Work, number: int) -> None:
    """Writes rows, hashes, looks and, where configured, embeddings of shard `number`; nothing if
    they are there."""
    if storage.exists(work.file("rows", number)):
        return
    judge, embed = work.judge(), work.embedder()
    rows: list[dict[str, Any]] = []
    hashes: list[Hashes] = []
    looks: list[Any] = []
    pictures = []
    vectors: list[np.ndarray] = []
    dataset = open_dataset(work.dataset)
    samples = dataset.shard(number)
    for sample in dataset.read_ahead(samples):
        record = as_record(sample)
        row: dict[str, Any] = {
            "key": record.key,
            "pixels": record.width * record.height,
            "bytes": sample.image_at.length,
            "sha256": bytes.fromhex(record.sha256),
        }
        rows.append(row)
        try:
            picture = sample.image(_SHOWN_SIDE)
        except ImageError as error:
            row["reason"], row["detail"] = error.reason, error.detail
            continue
        printed = fingerprint(picture)
        if (reason := judge.reason(record, picture, printed)) is not None:
            row["reason"], row["detail"] = reason
            continue
        hashes.append(printed.hashes)
        looks.append((printed.thumbnail, printed.edges))
        if embed is not None:
            pictures.append(picture)
            if len(pictures) == embed.batch:
                vectors.append(embed(pictures))
                pictures = []
    if embed is not None and pictures:
        vectors.append(embed(pictures))
    _write(work.file("hashes", number), np.array(hashes, "<u8").reshape(-1, VIEWS))
    _write(work.file("looks", number), np.array(looks, _LOOK))
    if embed is not None:
        joined = np.concatenate(vectors or [np.zeros((0, 1), "<f2")])
        _write(work.file("vectors", number), joined)
        _write(work.file("words", number), vector_hashes(joined).astype("<u8"))
    with storage.writing(work.file("rows", number)) as file:  # last: it says that all are there
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd")


def as_record(sample: Sample) -> Record:
    """Returns what curation looks at of a sample."""
    found = sample.json
    image = found["image"]
    return Record(
        sample.key, image["source_uri"], "", sample.image_at, image["sha256"],
        alt_text=found["alt_text"], url=image["url"], license=image["license"],
        format=image["format"], width=image["width"], height=image["height"],
        short_caption=found["short_caption"], long_caption=found["long_caption"],
    )  # fmt: skip


def _write(uri: str, values: np.ndarray) -> None:
    """Writes an array's bytes; a newline first, as some stores cannot hold an empty file."""
    with storage.writing(uri, durable=False) as file:
        file.write(b"\n")
        file.write(np.ascontiguousarray(values).tobytes())


class Measured(NamedTuple):
    """The pictures of all shards that stay so far, numbered through; `starts` has the first number
    of each shard, and at the end how many there are."""

    work: Work
    starts: np.ndarray

    def place(self, number: int) -> tuple[int, int]:
        """Returns the shard of a picture, and its number among those of the shard that stay."""
        shard = int(np.searchsorted(self.starts, number, "right")) - 1
        return shard, number - int(self.starts[shard])

    def hashes(self, shard: int) -> Hashes:
        """Returns the hashes of a shard's pictures, (n, VIEWS)."""
        data = storage.read_all(self.work.file("hashes", shard))
        return np.frombuffer(data, "<u8", offset=1).reshape(-1, VIEWS).astype(np.uint64)

    def look(self, number: int) -> Look:
        """Returns the thumbnail and edges of a picture."""
        shard, row = self.place(number)
        at = 1 + row * _LOOK.itemsize
        data = storage.read(Bytes(self.work.file("looks", shard), at, _LOOK.itemsize))
        found = np.frombuffer(data, _LOOK)[0]
        return found["thumbnail"], (float(found["edges"][0]), float(found["edges"][1]))

    def words(self, shard: int) -> Hashes:
        """Returns the hashes of the embeddings of a shard's pictures, (n, WORDS)."""
        data = storage.read_all(self.work.file("words", shard))
        return np.frombuffer(data, "<u8", offset=1).reshape(-1, WORDS).astype(np.uint64)

    def vector(self, number: int) -> NDArray[np.float32]:
        """Returns the embedding of a picture, (d,), of length 1."""
        shard, row = self.place(number)
        uri = self.work.file("vectors", shard)
        size = (storage.size(uri) - 1) // int(self.starts[shard + 1] - self.starts[shard])
        data = storage.read(Bytes(uri, 1 + row * size, size))
        return np.frombuffer(data, "<f2").astype(np.float32)


def rows(work: Work, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Returns the rows of a shard."""
    with storage.open_read(work.file("rows", shard)) as file:
        return pq.read_table(file, columns=columns)


def staying(table: pa.Table) -> pa.Table:
    """Returns the rows without a reason."""
    return table.filter(table.column("reason").is_null())


def all_staying(work: Work, columns: Sequence[str]) -> pa.Table:
    """Returns `columns` of the rows of all shards that have no reason, in the order of their
    numbers."""
    wanted = [*columns, *({"reason"} - set(columns))]
    tables = (staying(rows(work, shard, wanted)).select(columns) for shard in range(work.shards))
    return pa.concat_tables(tables)


def measured(work: Work) -> Measured:
    """Returns what the first step left."""
    counts = [len(staying(rows(work, shard, ["reason"]))) for shard in range(work.shards)]
    return Measured(work, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))


def reasons_of(work: Work, shard: int) -> Iterator[tuple[str, Reason | None]]:
    """Yields the key of each sample of a shard, and why it does not stay by itself."""
    for row in rows(work, shard, ["key", "reason", "detail"]).to_pylist():
        yield row["key"], Reason(row["reason"], row["detail"]) if row["reason"] else None
