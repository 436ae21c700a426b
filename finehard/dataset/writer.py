"""Writes one shard: tar, index rows and rejects. The same samples give the same bytes."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from typing import IO, Any

from finehard.dataset.layout import ShardsConfig, shard_name
from finehard.dataset.merge import Check, at_will
from finehard.dataset.packed import Finished, around_image, json_place
from finehard.dataset.pointers import Pointer, in_order
from finehard.dataset.regions import RegionWriter, region_rows, regions_part
from finehard.dataset.removals import Removals, left_out
from finehard.dataset.summary import ShardSummary
from finehard.dataset.tables import (
    INDEX_SCHEMA,
    REJECT_SCHEMA,
    described,
    index_part,
    write_table,
)
from finehard.images import ImagesConfig, decode, jpeg
from finehard.io import storage
from finehard.negatives.balance import Balance

NOTHING = Removals()


class Hashed:
    """Hashes and counts the bytes written to a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.written = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.written += len(data)
        return self._file.write(data)

    def end_tar(self) -> None:
        """Writes what ends any tar: two empty blocks, and more up to a whole record."""
        end = -self.written % tarfile.RECORDSIZE
        self.write(bytes(end if end >= 1024 else end + tarfile.RECORDSIZE))


def write_shard(
    output: str,
    run: str,
    index: int,
    count: int,
    pointers: Iterable[Pointer],
    config: ShardsConfig,
    images: ImagesConfig,
    balance: Balance | None = None,
    removals: Removals = NOTHING,
    source: str = "",
    check: Check = at_will,
) -> ShardSummary:
    """Writes shard `index` of `count`, its rows of the tables and its rejects; `balance`, if given,
    selects the hard negatives. Samples in `removals` become rejects; `source` is their input.

    Samples are sorted by key; a repeated key becomes "key~2", "key~3". One sample at a time is held
    in memory. `check` is called before the shard is replaced. Raises `SampleChangedError` if a
    sample's bytes have changed or are gone.
    """
    summary = ShardSummary(index, shard_name(index, count))
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, str]] = []
    tar = summary.name + ".tar"
    with (
        storage.writing(regions_part(output, run, summary.name), durable=False) as part,
        RegionWriter(part) as regions,
        storage.writing(storage.join(output, "shards", tar)) as file,
    ):
        hashed = Hashed(file)
        for key, repeated, finished, data in in_order(pointers):
            item = left_out(removals, key, finished.item, source)
            summary.renamed += repeated
            summary.account(key, item)
            if "reject" in item:
                rejects.append({**item["reject"], "key": key})
                summary.reasons[item["reject"]["reason"]] += 1
                continue
            if balance:
                finished = _balanced(finished, balance, key, summary)
            row = write_sample(hashed, key, finished, data, config, images)
            rows.append({**row, "shard": tar})
            regions.add(region_rows(key, tar, finished.item["sample"]))
            summary.regions += row["regions"]
            summary.hard_negatives += row["hard_negatives"]
        hashed.end_tar()
        check()
    summary.samples, summary.rejects = len(rows), len(rejects)
    summary.bytes, summary.sha256 = hashed.written, hashed.sha256.hexdigest()
    write_table(index_part(output, run, summary.name), rows, INDEX_SCHEMA)
    rejected = storage.join(output, "rejected", summary.name + ".parquet")
    if rejects:
        write_table(rejected, rejects, REJECT_SCHEMA)
    else:
        storage.delete([rejected])
    return summary


def write_sample(
    shard: Hashed,
    key: str,
    finished: Finished,
    data: bytes,
    config: ShardsConfig,
    images: ImagesConfig,
) -> dict[str, Any]:
    """Appends a sample to `shard`, and returns its row of the index without `shard`. Its tar
    headers are made where `finished` has none."""
    sample = finished.item["sample"]
    image = sample["image"]
    resized = config.image_side is not None and (
        max(image["width"], image["height"]) > config.image_side
    )
    if resized:
        data, image = _resized(data, image, config, images)
        sample = {**sample, "image": image}
    if resized or not finished.head or key != sample["key"]:
        finished = Finished({"sample": sample}, *around_image(key, len(data), sample))
    start = shard.written
    for part in (finished.head, data, finished.tail):
        shard.write(part)
    json_offset, json_size = json_place(finished, len(data))
    return {
        "key": key,
        "image_offset": start + len(finished.head),
        "image_size": len(data),
        "json_offset": start + json_offset,
        "json_size": json_size,
        **described(sample),
    }


def _balanced(finished: Finished, balance: Balance, key: str, summary: ShardSummary) -> Finished:
    """Returns the item with selected negatives; without tar headers if the sample changed."""
    item = finished.item
    sample, dropped = balance.choose(item["sample"])
    if not dropped:
        return finished
    for rule, texts in dropped.items():
        if texts:
            summary.drop(f"negatives.{rule}", len(texts), key, texts[0])
    return Finished({**item, "sample": sample}, b"", b"")


def _resized(
    data: bytes, image: dict[str, Any], config: ShardsConfig, images: ImagesConfig
) -> tuple[bytes, dict[str, Any]]:
    assert config.image_side is not None
    smaller = decode(data, replace(images, max_side=config.image_side)).pixels
    data = jpeg(smaller, config.image_quality)
    changed = {"width": smaller.width, "height": smaller.height, "format": "jpg"}
    return data, {**image, **changed, "sha256": hashlib.sha256(data).hexdigest()}
