"""Checks one shard, and its rows of the index, against the data contract."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from finehard.dataset.layout import shard_of, split_key
from finehard.dataset.regions import region_rows
from finehard.dataset.runs import Run, read_run
from finehard.dataset.tables import described
from finehard.digest import digest
from finehard.errors import error_line
from finehard.images import ImageError, ImagesConfig, header
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.negatives.swap import normal
from finehard.records import Bytes
from finehard.schemas import why_invalid
from finehard.sources.tar import Damage, Member, members

_LIMITS = ImagesConfig(max_pixels=1 << 40, min_side=1, max_bytes=1 << 40)


class Task(NamedTuple):
    """A shard as the manifest lists it, and one run of its rows in the index, which is in `file`;
    None if the index has none. `shards` is how many there are."""

    dataset: str
    shard: dict[str, Any]
    shards: int
    file: str
    run: Run | None


class RegionRows(NamedTuple):
    """Rows of the regions of a shard, as much of them as tells whether others are equal."""

    number: int
    digest: str


class Found(NamedTuple):
    """What was found of a task: the violations, why its rows cannot be read ("": they can), the
    numbers of regions and negatives in the rows, and what the rows of its regions should be."""

    problems: list[str]
    unreadable: str = ""
    regions: int = 0
    hard_negatives: int = 0
    expected: RegionRows | None = None


def check_shard(task: Task) -> Found:
    """Checks a shard. Memory holds its rows, and those of its regions."""
    try:
        rows = read_run(task.run).to_pylist() if task.run else []
    except (pa.ArrowException, OSError, ValueError) as error:
        return Found([], error_line(error, 160))
    problems: list[str] = []
    regions: list[dict[str, Any]] = []
    if any(value is None for row in rows for value in row.values()):
        problems.append(f"{task.file}: a row of {task.shard['name']} has no value in some column")
    problems += _shard(task, rows, regions)
    return Found(
        problems,
        regions=sum(row["regions"] or 0 for row in rows),
        hard_negatives=sum(row["hard_negatives"] or 0 for row in rows),
        expected=summed(regions) if regions and not problems else None,
    )


def summed(rows: list[dict[str, Any]]) -> RegionRows:
    """Returns what tells `rows` of regions from others."""
    return RegionRows(len(rows), digest(rows))


def _shard(task: Task, rows: list[dict[str, Any]], regions: list[dict[str, Any]]) -> Iterator[str]:
    """Yields what is wrong with the shard; fills `regions` with the rows of its regions."""
    name = f"shards/{task.shard['name']}"
    try:
        with _hashed(storage.join(task.dataset, name)) as (path, sha256):
            if sha256 == task.shard["sha256"]:
                yield from _content(task, path, rows, regions)
            else:
                yield f"{name} is damaged: its SHA-256 is not the manifest's"
    except OSError as error:
        yield f"{name} cannot be read: {error_line(error, 160)}"


@contextmanager
def _hashed(uri: str) -> Iterator[tuple[str, str]]:
    """Yields the path of a file, or of a copy that lasts as long as the block if it is remote, and
    its SHA-256."""
    with storage.open_read(uri) as file, tempfile.NamedTemporaryFile() as copy:
        sha256 = hashlib.sha256()
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            if storage.is_remote(uri):
                copy.write(chunk)
        copy.flush()
        yield copy.name if storage.is_remote(uri) else uri, sha256.hexdigest()


def _content(
    task: Task, path: str, rows: list[dict[str, Any]], regions: list[dict[str, Any]]
) -> Iterator[str]:
    dataset, shard, count, index, _ = task
    name = f"shards/{shard['name']}"
    indexed = {row["key"]: row for row in rows}
    if len(indexed) != len(rows):
        yield f"{index}: a key occurs twice in {shard['name']}"
    samples: dict[str, dict[str, Member]] = {}
    for problem in _members(path, samples):
        yield f"{name}: {problem}"
    if len(samples) != shard["samples"]:
        yield f"{name} holds {len(samples)} samples, the manifest says {shard['samples']}"
    if list(samples) != sorted(samples, key=split_key):
        yield f"{name}: its keys are not sorted"
    for key in sorted(indexed.keys() - samples.keys(), key=str):
        yield f"{index} has {key}, which is not in {name}"
    rejected = _rejected_keys(dataset, shard["name"])
    for key, parts in samples.items():
        if shard_of(key, count) != int(shard["name"].split("-")[1]):
            yield f"{name}: {key} belongs to another shard"
        if key in rejected:
            yield f"{name}: {key} is among the rejects too"
        base, number = split_key(key)
        previous = base if number == 2 else f"{base}~{number - 1}"
        if number > 1 and previous not in samples and previous not in rejected:
            yield f"{name}: {key} is there without {previous}"
        problems: list[str] = []
        sample = _sample(path, key, parts, indexed.get(key), index, problems)
        yield from (f"{name}: {key}: {problem}" for problem in problems)
        if sample is not None:
            regions += region_rows(key, shard["name"], sample)


def _members(path: str, samples: dict[str, dict[str, Member]]) -> Iterator[str]:
    """Fills `samples` with the members by key and suffix; yields what is wrong with the tar."""
    previous = ""
    with storage.open_read(path) as file:
        for member in members(file, 0, storage.size(path)):
            if isinstance(member, Damage):
                yield f"is no whole tar: at byte {member.offset}, {member.detail}"
                continue
            key, _, suffix = member.name.partition(".")
            if not member.regular:
                yield f"{member.name} is no regular file"
            elif suffix in samples.get(key, ()):
                yield f"{member.name} occurs twice"
            elif key in samples and key != previous:
                yield f"the members of {key} do not stand together"
            samples.setdefault(key, {})[suffix] = member
            previous = key


def _rejected_keys(dataset: str, shard: str) -> set[str]:
    uri = storage.join(dataset, "rejected", shard.removesuffix(".tar") + ".parquet")
    try:
        with storage.open_read(uri) as file:
            return set(read_table(file, columns=["key"]).column("key").to_pylist())
    except (pa.ArrowException, OSError, ValueError):
        return set()  # it need not exist; `_rejects` reports one that cannot be read


def _sample(
    path: str,
    key: str,
    parts: dict[str, Member],
    row: dict[str, Any] | None,
    index: str,
    problems: list[str],
) -> dict[str, Any] | None:
    """Adds to `problems` what is wrong with a sample. Returns its JSON if that fits its schema."""
    images = [suffix for suffix in parts if suffix != "json"]
    if "json" not in parts or len(images) != 1:
        problems.append(f"has members {', '.join(parts)}, not one image and .json")
        return None
    [suffix] = images
    if row is None:
        problems.append(f"is not in {index}")
        return None
    for member, name in ((parts[suffix], "image"), (parts["json"], "json")):
        if (member.offset_data, member.size) != (row[f"{name}_offset"], row[f"{name}_size"]):
            problems.append(f"{index} points beside its {name}")
    data = storage.read(Bytes(path, parts[suffix].offset_data, parts[suffix].size))
    text = storage.read(Bytes(path, parts["json"].offset_data, parts["json"].size))
    try:
        # strict: refuses NaN, which would pass every comparison
        sample: dict[str, Any] = orjson.loads(text)
    except ValueError:
        problems.append("its .json is not JSON")
        return None
    if wrong := why_invalid(sample, "sample"):
        problems.append(wrong)
        return None
    problems += _agrees(key, suffix, data, sample)
    differing = [name for name, value in described(sample).items() if row[name] != value]
    if differing:
        problems.append(f"{index} gives another {', '.join(differing)}")
    return sample


def _agrees(key: str, suffix: str, data: bytes, sample: dict[str, Any]) -> Iterator[str]:
    image = sample["image"]
    if sample["key"] != key:
        yield f"its .json is of {sample['key']}"
    if hashlib.sha256(data).hexdigest() != image["sha256"]:
        yield "its image is not the one whose SHA-256 the .json gives"
    else:
        try:
            read = header(data, _LIMITS)
            if tuple(read) != (image["format"], image["width"], image["height"]):
                yield f"its image is {read.format} of {read.width} x {read.height} px"
        except ImageError as error:
            yield f"its image cannot be read: {error}"
    if suffix != image["format"]:
        yield f"its image is called .{suffix}, but is {image['format']}"
    for number, region in enumerate(sample["regions"]):
        for problem in _region(region):
            yield f"regions[{number}]: {problem}"


def _region(region: dict[str, Any]) -> Iterator[str]:
    x1, y1, x2, y2 = region["box"]
    if not (x1 < x2 and y1 < y2):
        yield f"box {region['box']} is empty"
    texts = {normal(region["short_expr"])}
    for negative in region["hard_negatives"]:
        text = normal(negative["text"])
        if text == normal(region["short_expr"]):
            yield "a hard negative says the same as short_expr"
        elif text in texts:
            yield f"hard negative {negative['text']!r} occurs twice"
        elif normal(negative["replacement"]) not in text:
            yield f"hard negative {negative['text']!r} is without its replacement"
        texts.add(text)
