"""Writes one shard: its tar, its rows for the index, its rejects. Same samples, same bytes."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import IO, Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from finehard import storage
from finehard.images import ImagesConfig, decode, jpeg
from finehard.negatives.balance import Balance
from finehard.records import Bytes
from finehard.shards.layout import ShardsConfig, shard_name

REJECT_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "source", "stage", "reason", "detail")]
)
EXAMPLES = 4
"""Of what each rule dropped, kept for the report."""
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
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each rule that dropped something: keys of samples, and what it was of theirs."""
    usage: dict[str, list[int]] = field(default_factory=dict)

    def drop(self, rule: str, number: int, key: str, first: str) -> None:
        """Counts `number` more parts left out by `rule`; `first` is one of sample `key`'s."""
        self.dropped[rule] += number
        told = self.examples.setdefault(rule, [])
        if len(told) < EXAMPLES:
            told.append((key, first))


def pack(item: dict[str, Any]) -> bytes:
    """A finished sample or reject as bytes for the side file that `Pointer.where` points into.

    A sample's tar headers and JSON member are made here, while model servers are at work, so that
    at the end a shard is put together by copying.
    """
    head, tail = b"", b""
    if "sample" in item:
        sample = item["sample"]
        head, tail = _around(members(sample["key"], bytes(item["image"][2]), sample), sample)
    meta = orjson.dumps(item)
    return zlib.compress(_LENGTHS.pack(len(meta), len(head)) + meta + head + tail, 1)


def unpack(data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """What `pack` was given, and of a sample what stands before and after its image in a tar."""
    data = zlib.decompress(data)
    meta, head = _LENGTHS.unpack_from(data)
    start = _LENGTHS.size + meta
    item = orjson.loads(data[_LENGTHS.size : start])
    return item, data[start : start + head], data[start + head :]


_LENGTHS = struct.Struct(">II")


def members(key: str, image: bytes, sample: dict[str, Any]) -> bytes:
    """The tar members of one sample, headers included, as they stand in a shard."""
    from webdataset import TarWriter  # imports torch where that is installed: seconds

    text = orjson.dumps({**sample, "key": key}, option=orjson.OPT_INDENT_2)
    out = io.BytesIO()
    tar = TarWriter(out, user="finehard", group="finehard", mtime=0, encoder=False, compress=False)
    tar.write({"__key__": key, sample["image"]["format"]: image, "json": text})
    length = tar.tarstream.offset
    tar.close()
    return out.getvalue()[:length]  # without the end mark, which the shard has


def _around(block: bytes, sample: dict[str, Any]) -> tuple[bytes, bytes]:
    """`block` without the image's bytes: what stands before them and after."""
    name, size = block[:100].rstrip(b"\0"), _size(block, 0)
    start = 512
    if name.endswith(b".json"):  # members stand in the order of their suffixes
        start = 512 + _padded(size) + 512
        size = _size(block, start - 512)
    return block[:start], block[start + size :]


def _size(block: bytes, header: int) -> int:
    return int(block[header + 124 : header + 135], 8)  # the size field, octal (POSIX ustar)


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
    balance: Balance | None = None,
) -> ShardSummary:
    """Writes shard `index` of `count` under `output`, and its index rows and rejects beside it.

    Where `balance` is given it chooses the hard negatives.

    Samples are sorted by key; a key met again is told apart as "key~2", "key~3". Memory holds one
    sample at a time. Raises `OSError` when a sample's bytes are no longer where they were.
    """
    summary = ShardSummary(index, shard_name(index, count))
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, str]] = []
    with storage.writing(storage.join(output, "shards", summary.name + ".tar")) as file:
        hashed = _Hashed(file)
        for key, finished, data in _in_order(pointers, summary):
            item = finished[0]
            _account(summary, key, item)
            if "reject" in item:
                rejects.append({**item["reject"], "key": key})
                summary.reasons[item["reject"]["reason"]] += 1
                continue
            if balance:
                finished = _balanced(finished, balance, key, summary)
            row = _write_sample(hashed, key, finished, data, config, images)
            rows.append({**row, "shard": summary.name + ".tar"})
            summary.regions += row["regions"]
            summary.hard_negatives += row["hard_negatives"]
        end = -hashed.written % tarfile.RECORDSIZE  # as tar does: two empty blocks, whole records
        hashed.write(bytes(end if end >= 1024 else end + tarfile.RECORDSIZE))
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


_Finished = tuple[dict[str, Any], bytes, bytes]


def _in_order(
    pointers: Iterable[Pointer], summary: ShardSummary
) -> Iterator[tuple[str, _Finished, bytes]]:
    """Key, finished item and image bytes (of a reject: none), sorted by key."""
    before, double = None, 1
    ordered = sorted(set(pointers))
    for pointer, (finished, data) in zip(ordered, _read_ahead(ordered), strict=True):
        double = double + 1 if pointer.key == before else 1
        before = pointer.key
        summary.renamed += double > 1
        yield (pointer.key if double == 1 else f"{pointer.key}~{double}"), finished, data


def _read_ahead(pointers: list[Pointer]) -> Iterator[tuple[_Finished, bytes]]:
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


def _fetch(pointer: Pointer) -> tuple[_Finished, bytes]:
    finished = unpack(storage.read(pointer.where))
    item = finished[0]
    if "reject" in item:
        return finished, b""
    image = item["sample"]["image"]
    changed = f"{image['source_uri']} changed while the build ran: run it again"
    try:
        data = storage.read(Bytes(*item["image"]))
    except (FileNotFoundError, EOFError):
        raise OSError(changed) from None
    if hashlib.sha256(data).hexdigest() != image["sha256"]:
        raise OSError(changed)
    return finished, data


def _account(summary: ShardSummary, key: str, item: dict[str, Any]) -> None:
    for rule, (number, first) in item["dropped"].items():
        summary.drop(rule, number, key, first)
    for stage, spent in item["usage"].items():
        total = summary.usage.setdefault(stage, [0, 0, 0])
        for place, value in enumerate(spent):
            total[place] += value


def _write_sample(
    shard: _Hashed,
    key: str,
    finished: _Finished,
    data: bytes,
    config: ShardsConfig,
    images: ImagesConfig,
) -> dict[str, Any]:
    item, head, tail = finished
    sample = item["sample"]
    image = sample["image"]
    changed = not head
    resized = config.image_side is not None and (
        max(image["width"], image["height"]) > config.image_side
    )
    if resized:
        data, image = _resized(data, image, config, images)
        sample = {**sample, "image": image}
    if changed or resized or key != sample["key"]:
        head, tail = _around(members(key, data, sample), sample)
    start = shard.written
    for part in (head, data, tail):
        shard.write(part)
    json_first = image["format"] > "json"
    json_header = 0 if json_first else len(head) + _padded(len(data))
    json_size = _size(head, 0) if json_first else _size(tail, _padded(len(data)) - len(data))
    return {
        "key": key,
        "image_offset": start + len(head),
        "image_size": len(data),
        "json_offset": start + json_header + 512,
        "json_size": json_size,
        **described(sample),
    }


def _balanced(finished: _Finished, balance: Balance, key: str, summary: ShardSummary) -> _Finished:
    """`finished` with its negatives chosen; without tar headers where that changed the sample."""
    item = finished[0]
    sample, dropped = balance.choose(item["sample"])
    if not dropped:
        return finished
    for rule, texts in dropped.items():
        if texts:
            summary.drop(f"negatives.{rule}", len(texts), key, texts[0])
    return {**item, "sample": sample}, b"", b""


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
