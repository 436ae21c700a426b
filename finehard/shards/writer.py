"""Writes one shard: its tar, its rows for the index, its rejects. Same samples, same bytes."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import IO, Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from finehard import storage
from finehard.images import ImagesConfig, decode, jpeg
from finehard.records import Bytes
from finehard.shards.layout import ShardsConfig, shard_name

REJECT_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "source", "stage", "reason", "detail")]
)
READERS = 16
"""Samples read at once where a read takes a round trip to an object store."""
_MEMBERS = ("image", "json")
INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        *((f"{m}_{what}", pa.int64()) for m in _MEMBERS for what in ("offset", "size")),
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


class Pointer(NamedTuple):
    """A finished sample or reject, by reference: what crosses the shuffle. `order` is the source,
    which puts samples of equal key in a fixed order."""

    key: str
    order: str
    where: Bytes


@dataclass
class ShardSummary:
    """What was written for one shard; small, for index and manifest."""

    index: int
    name: str
    samples: int = 0
    rejects: int = 0
    bytes: int = 0
    sha256: str = ""
    renamed: int = 0
    regions: int = 0
    hard_negatives: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    usage: dict[str, list[int]] = field(default_factory=dict)


def pack(value: dict[str, Any]) -> bytes:
    """A finished sample or reject as bytes for the side file that `Pointer.where` points into."""
    return zlib.compress(orjson.dumps(value), 1)


def unpack(data: bytes) -> dict[str, Any]:
    """What `pack` was given."""
    return orjson.loads(zlib.decompress(data))


class _Hashed:
    """A file to write that hashes and counts what goes through."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.written = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.written += len(data)
        return self._file.write(data)


def write_shard(
    output: str,
    index: int,
    count: int,
    pointers: Iterable[Pointer],
    config: ShardsConfig,
    images: ImagesConfig,
) -> ShardSummary:
    """Writes shard `index` of `count` under `output`, and its index rows and rejects beside it.

    Samples are sorted by key; a key met again is told apart as "key~2", "key~3". Memory holds one
    sample at a time. Raises `OSError` when a sample's bytes are no longer where they were.
    """
    from webdataset import TarWriter  # imports torch where that is installed: seconds

    summary = ShardSummary(index, shard_name(index, count))
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, str]] = []
    with storage.writing(storage.join(output, "shards", summary.name + ".tar")) as file:
        hashed = _Hashed(file)
        tar = TarWriter(
            hashed, user="finehard", group="finehard", mtime=0, encoder=False, compress=False
        )
        with closing(tar):  # also when it fails: it would write on when it is thrown away
            for key, item, data in _in_order(pointers, summary):
                _account(summary, item)
                if "reject" in item:
                    rejects.append({**item["reject"], "key": key})
                    summary.reasons[item["reject"]["reason"]] += 1
                    continue
                row = _write_sample(tar, key, item, data, config, images)
                rows.append({**row, "shard": summary.name + ".tar"})
                summary.regions += row["regions"]
                summary.hard_negatives += row["hard_negatives"]
    summary.samples, summary.rejects = len(rows), len(rejects)
    summary.bytes, summary.sha256 = hashed.written, hashed.sha256.hexdigest()
    _write_table(index_part(output, summary.name), rows, INDEX_SCHEMA)
    rejected = storage.join(output, "rejected", summary.name + ".parquet")
    if rejects:
        _write_table(rejected, rejects, REJECT_SCHEMA)
    else:
        storage.delete([rejected])
    return summary


def index_part(output: str, name: str) -> str:
    """Where a shard's rows lie until the index is put together."""
    return storage.join(output, "_journal", "_index", name + ".parquet")


def _in_order(
    pointers: Iterable[Pointer], summary: ShardSummary
) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Key, finished item and image bytes (of a reject: none), sorted by key."""
    before, double = None, 1
    ordered = sorted(set(pointers))
    for pointer, (item, data) in zip(ordered, _read_ahead(ordered), strict=True):
        double = double + 1 if pointer.key == before else 1
        before = pointer.key
        summary.renamed += double > 1
        yield (pointer.key if double == 1 else f"{pointer.key}~{double}"), item, data


def _read_ahead(pointers: list[Pointer]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What `pointers` point to, in their order; from an object store, some at a time."""
    if not pointers or not storage.is_remote(pointers[0].where.uri):
        yield from map(_fetch, pointers)
        return
    with ThreadPoolExecutor(READERS) as pool:
        under_way = deque(pool.submit(_fetch, pointer) for pointer in pointers[: 2 * READERS])
        for pointer in pointers[2 * READERS :]:
            yield under_way.popleft().result()
            under_way.append(pool.submit(_fetch, pointer))
        for future in under_way:
            yield future.result()


def _fetch(pointer: Pointer) -> tuple[dict[str, Any], bytes]:
    item = unpack(storage.read(pointer.where))
    if "reject" in item:
        return item, b""
    image = item["sample"]["image"]
    changed = f"{image['source_uri']} changed while the build ran: run it again"
    try:
        data = storage.read(Bytes(*item["image"]))
    except (FileNotFoundError, EOFError):
        raise OSError(changed) from None
    if hashlib.sha256(data).hexdigest() != image["sha256"]:
        raise OSError(changed)
    return item, data


def _account(summary: ShardSummary, item: dict[str, Any]) -> None:
    summary.dropped.update(item["dropped"])
    for stage, spent in item["usage"].items():
        total = summary.usage.setdefault(stage, [0, 0, 0])
        for place, value in enumerate(spent):
            total[place] += value


def _write_sample(
    tar: Any,
    key: str,
    item: dict[str, Any],
    data: bytes,
    config: ShardsConfig,
    images: ImagesConfig,
) -> dict[str, Any]:
    sample = {**item["sample"], "key": key}
    if config.image_side and max(sample["image"]["width"], sample["image"]["height"]) > (
        config.image_side
    ):
        data, sample["image"] = _resized(data, sample["image"], config, images)
    text = orjson.dumps(sample, option=orjson.OPT_INDENT_2)
    suffix = sample["image"]["format"]
    tar.write({"__key__": key, suffix: data, "json": text})
    end = tar.tarstream.offset
    # members are written in order of suffix, each with a header of 512 bytes, padded to 512
    first, second = ("json", "image") if suffix > "json" else ("image", "json")
    sizes = {"image": len(data), "json": len(text)}
    offsets = {second: end - _padded(sizes[second])}
    offsets[first] = offsets[second] - 512 - _padded(sizes[first])
    return {
        "key": key,
        **{f"{m}_offset": offsets[m] for m in _MEMBERS},
        **{f"{m}_size": sizes[m] for m in _MEMBERS},
        **described(sample),
    }


def described(sample: dict[str, Any]) -> dict[str, Any]:
    """What the index tells of a sample, but for where it lies."""
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


def _resized(
    data: bytes, image: dict[str, Any], config: ShardsConfig, images: ImagesConfig
) -> tuple[bytes, dict[str, Any]]:
    assert config.image_side is not None
    smaller = decode(data, replace(images, max_side=config.image_side)).pixels
    data = jpeg(smaller, config.image_quality)
    changed = {"width": smaller.width, "height": smaller.height, "format": "jpg"}
    return data, {**image, **changed, "sha256": hashlib.sha256(data).hexdigest()}


def _padded(size: int) -> int:
    return -(-size // 512) * 512


def _write_table(uri: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    with storage.writing(uri) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
