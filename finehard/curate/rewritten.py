"""Last step of a pass: samples that stay, and rejects with their reasons, as a build leaves them
for the writer of shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from finehard.curate.measured import as_record, reasons_of
from finehard.curate.reason import Reason
from finehard.curate.stage import Curate
from finehard.curate.work import Work
from finehard.dataset.layout import shard_of, side_files, split_key
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.dataset.reader import open_dataset
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.records import Bytes


def save_left_out(work: Work, shard: int, copied: dict[int, Reason]) -> None:
    """Saves why pictures of a shard are left out as copies; by number in the shard, those that are
    left out by themselves not counted."""
    storage.write(work.file("left", shard), orjson.dumps([[n, *r] for n, r in copied.items()]))


def pointers(work: Work, shard: int) -> Iterator[tuple[int, Pointer]]:
    """Yields (new shard, pointer) of all samples and earlier rejects of a shard."""
    saved = orjson.loads(storage.read_all(work.file("left", shard)))
    copied = {number: Reason(name, detail) for number, name, detail in saved}
    folder = side_files(work.output, work.run, "_records")
    uri = storage.join(folder, f"{work.shard(shard)}.bin")
    placed: list[tuple[int, Pointer]] = []
    with storage.writing(uri, durable=False) as file:
        offset = file.write(b"\n")  # some object stores cannot hold an empty file
        for key, item in _items(work, shard, copied):
            data = pack(item)
            base, number = split_key(key)
            pointer = Pointer(base, f"{number:09d}", Bytes(uri, offset, len(data)))
            placed.append((shard_of(base, work.new_shards), pointer))
            offset += file.write(data)
    yield from placed


def _items(
    work: Work, shard: int, copied: dict[int, Reason]
) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    dataset = open_dataset(work.dataset)
    samples = dataset.read_ahead(dataset.shard(shard))
    for sample, (key, reason) in zip(samples, reasons_of(work, shard), strict=True):
        if reason is None:
            reason = copied.get(number)
            number += 1
        if reason is None:
            yield key, {"sample": sample.json, "image": list(sample.image_at), **_NOTHING}
            continue
        row = {
            "source": as_record(sample).source,
            "stage": Curate.name,
            "reason": reason.name,
            "detail": reason.detail[:300],
        }
        yield key, {"reject": row, **_NOTHING}
    for row in _rejects(work, shard):
        yield row.pop("key"), {"reject": row, **_NOTHING}


_NOTHING: dict[str, Any] = {"usage": {}, "dropped": {}}
"""What was spent and dropped is taken over from the manifest, for all samples together."""


def _rejects(work: Work, shard: int) -> list[dict[str, Any]]:
    uri = storage.join(work.dataset, "rejected", f"{work.shard(shard)}.parquet")
    try:
        with storage.open_read(uri) as file:
            return list(read_table(file).to_pylist())
    except FileNotFoundError:
        return []
