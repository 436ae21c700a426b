"""Checks a dataset against every rule of the data contract, and lists the violations.

Reads shards and index itself and not through `open_dataset`, which trusts the index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from finehard.dataset.layout import (
    CARD,
    CROISSANT,
    INDEX,
    MANIFEST,
    SIZES,
    shard_name,
    shard_of,
    split_key,
)
from finehard.dataset.tables import INDEX_SCHEMA, REJECT_SCHEMA, described
from finehard.dataset.validate_regions import regions_problems
from finehard.errors import UsageError, error_line
from finehard.images import ImageError, ImagesConfig, header
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.negatives.swap import normal
from finehard.records import Bytes
from finehard.rejects import REASONS
from finehard.schemas import why_invalid
from finehard.sources.tar import Damage, Member, members

_LIMITS = ImagesConfig(max_pixels=1 << 40, min_side=1, max_bytes=1 << 40)


def validate(dataset: str) -> list[str]:
    """The violations in `dataset`, one line each; empty if it is valid. Nothing is written.

    Memory holds the keys of one shard at a time. Raises `UsageError` if there is no such folder.
    """
    dataset = storage.local(dataset)
    if not storage.is_dir(dataset):
        raise UsageError(f"dataset {dataset} does not exist")
    manifest = _json(storage.join(dataset, MANIFEST))
    if manifest is None:
        return [f"{MANIFEST} is missing or not JSON: the build did not finish, run it again"]
    wrong = why_invalid(manifest, "manifest")
    if wrong:
        return [f"{MANIFEST}: {wrong}"]
    problems = list(_files(dataset, manifest))
    if problems:
        return problems
    problems = [*_counts(dataset, manifest), *_shards(dataset, manifest)]
    regions = [] if problems else regions_problems(dataset)
    return [*problems, *regions, *_rejects(dataset, manifest)]


def _json(uri: str) -> Any:
    try:
        return json.loads(storage.read_all(uri))
    except (OSError, ValueError, RecursionError):
        return None


def _files(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    for name in (INDEX, SIZES, CARD, CROISSANT):
        if not storage.exists(storage.join(dataset, name)):
            yield f"{name} is missing"
    listed = {shard["name"]: shard for shard in manifest["shards"]}
    present = {f.uri.rsplit("/", 1)[1]: f.size for f in storage.glob(f"{dataset}/shards", "")}
    for name in sorted(present.keys() - listed.keys()):
        yield f"shards/{name} is not in the manifest"
    for name in sorted(listed.keys() - present.keys()):
        yield f"shards/{name} is missing"
    for name in sorted(listed.keys() & present.keys()):
        if present[name] != listed[name]["bytes"]:
            yield f"shards/{name} has {present[name]} bytes, not {listed[name]['bytes']}"


def _counts(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    counts = manifest["counts"]
    if counts["read"] != counts["written"] + counts["rejected"]:
        yield (
            f"{counts['read']} read, but {counts['written']} written and {counts['rejected']} "
            "rejected"
        )
    shards = [shard["name"] for shard in manifest["shards"]]
    if shards != [f"{shard_name(i, len(shards))}.tar" for i in range(len(shards))]:
        yield f"{MANIFEST} does not list the shards 0 to {len(shards) - 1} in their order"
    total = sum(shard["samples"] for shard in manifest["shards"])
    if total != counts["written"]:
        yield f"the shards list {total} samples, the manifest counts {counts['written']}"
    sizes = {shard["name"]: shard["samples"] for shard in manifest["shards"]}
    if _json(storage.join(dataset, SIZES)) != sizes:
        yield f"{SIZES} does not agree with the manifest"


def _index(dataset: str) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """The rows of the index by shard, one shard at a time."""
    with storage.open_read(storage.join(dataset, INDEX)) as file:
        opened = pq.ParquetFile(file)
        if not opened.schema_arrow.equals(INDEX_SCHEMA):
            raise ValueError("other columns than expected")
        rows: dict[str, list[dict[str, Any]]] = {}
        for batch in opened.iter_batches(4096):
            for row in batch.to_pylist():
                if row["shard"] not in rows and rows:
                    yield rows
                    rows = {}
                rows.setdefault(row["shard"], []).append(row)
        yield rows


def _shards(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    shards = {shard["name"]: shard for shard in manifest["shards"]}
    checked: set[str] = set()
    counted = {"regions": 0, "hard_negatives": 0}
    try:
        for of_shard in _index(dataset):
            for name, rows in of_shard.items():
                if name not in shards:
                    yield f"{INDEX} names shard {name}, which the manifest does not"
                    continue
                if name in checked:
                    yield f"{INDEX}: the rows of {name} do not stand together"
                checked.add(name)
                if any(value is None for row in rows for value in row.values()):
                    yield f"{INDEX}: a row of {name} has no value in some column"
                for column in counted:
                    counted[column] += sum(row[column] or 0 for row in rows)
                yield from _shard(dataset, shards[name], rows, len(shards))
    except (pa.ArrowException, OSError, ValueError) as error:
        yield f"{INDEX} cannot be read: {error_line(error, 160)}"
        return
    for name, shard in shards.items():
        if name not in checked:
            yield from _shard(dataset, shard, [], len(shards))
    for column, number in counted.items():
        if number != (other := manifest["counts"][column]):
            yield f"{INDEX} counts {number} {column}, the manifest {other}"


def _shard(
    dataset: str, shard: dict[str, Any], rows: list[dict[str, Any]], count: int
) -> Iterator[str]:
    name = f"shards/{shard['name']}"
    uri = storage.join(dataset, name)
    sha256 = hashlib.sha256()
    with storage.open_read(uri) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    if sha256.hexdigest() != shard["sha256"]:
        yield f"{name} is damaged: its SHA-256 is not the manifest's"
        return
    indexed = {row["key"]: row for row in rows}
    if len(indexed) != len(rows):
        yield f"{INDEX}: a key occurs twice in {shard['name']}"
    samples: dict[str, dict[str, Member]] = {}
    for problem in _members(uri, samples):
        yield f"{name}: {problem}"
    if len(samples) != shard["samples"]:
        yield f"{name} holds {len(samples)} samples, the manifest says {shard['samples']}"
    if list(samples) != sorted(samples, key=split_key):
        yield f"{name}: its keys are not sorted"
    for key in sorted(indexed.keys() - samples.keys(), key=str):
        yield f"{INDEX} has {key}, which is not in {name}"
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
        for problem in _sample(uri, key, parts, indexed.get(key)):
            yield f"{name}: {key}: {problem}"


def _members(uri: str, samples: dict[str, dict[str, Member]]) -> Iterator[str]:
    """Fills `samples` with the members by key and suffix; yields what is wrong with the tar."""
    previous = ""
    with storage.open_read(uri) as file:
        for member in members(file, 0, storage.size(uri)):
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
    uri: str, key: str, parts: dict[str, Member], row: dict[str, Any] | None
) -> Iterator[str]:
    images = [suffix for suffix in parts if suffix != "json"]
    if "json" not in parts or len(images) != 1:
        yield f"has members {', '.join(parts)}, not one image and .json"
        return
    [suffix] = images
    if row is None:
        yield f"is not in {INDEX}"
        return
    for member, name in ((parts[suffix], "image"), (parts["json"], "json")):
        if (member.offset_data, member.size) != (row[f"{name}_offset"], row[f"{name}_size"]):
            yield f"{INDEX} points beside its {name}"
    data = storage.read(Bytes(uri, parts[suffix].offset_data, parts[suffix].size))
    text = storage.read(Bytes(uri, parts["json"].offset_data, parts["json"].size))
    try:
        sample = orjson.loads(text)  # strict: refuses NaN, which would pass every comparison
    except ValueError:
        yield "its .json is not JSON"
        return
    wrong = why_invalid(sample, "sample")
    if wrong:
        yield wrong
        return
    yield from _agrees(key, suffix, data, sample, row)


def _agrees(
    key: str, suffix: str, data: bytes, sample: dict[str, Any], row: dict[str, Any]
) -> Iterator[str]:
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
    differing = [name for name, value in described(sample).items() if row[name] != value]
    if differing:
        yield f"{INDEX} gives another {', '.join(differing)}"


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


def _rejects(dataset: str, manifest: dict[str, Any]) -> Iterator[str]:
    known = {*REASONS, *manifest.get("reject_reasons", ())}
    total, reasons = 0, dict.fromkeys(manifest["rejects"], 0)
    shards = [shard["name"] for shard in manifest["shards"]]
    for file in storage.glob(storage.join(dataset, "rejected"), ""):
        name = "rejected/" + file.uri.rsplit("/", 1)[1]
        try:
            with storage.open_read(file.uri) as opened:
                table = read_table(opened)
        except (pa.ArrowException, OSError, ValueError) as error:
            yield f"{name} cannot be read: {error_line(error, 160)}"
            continue
        if table.schema.names != REJECT_SCHEMA.names:
            yield f"{name} has other columns than {', '.join(REJECT_SCHEMA.names)}"
            continue
        total += len(table)
        keys = table.column("key").to_pylist()
        if len(set(keys)) != len(keys):
            yield f"{name}: a key occurs twice"
        of = name.removeprefix("rejected/").removesuffix(".parquet") + ".tar"
        if of not in shards:
            yield f"{name} belongs to no shard of the manifest"
        elif any(shard_of(str(key), len(shards)) != shards.index(of) for key in keys):
            yield f"{name}: a key belongs to another shard"
        for reason in map(str, table.column("reason").to_pylist()):
            if reason not in known:
                yield f"{name}: unknown reason {reason!r}"
            reasons[reason] = reasons.get(reason, 0) + 1
    if total != manifest["counts"]["rejected"]:
        yield f"rejected/ holds {total} rows, the manifest counts {manifest['counts']['rejected']}"
    if reasons != manifest["rejects"]:
        yield "rejected/ has other reasons than the manifest counts"
