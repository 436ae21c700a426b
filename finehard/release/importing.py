"""The published FineHARD and a user's images -> a dataset of finehard's.

URL -> key -> image by tables on disk; then the items of the release, file by file, become samples
and rejects in side files; then each shard is written from its own, as a build writes it.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from finehard.dataset.complete import Origin, begin, complete, remove_side_files
from finehard.dataset.layout import JOURNAL, shard_count, shard_of, shard_size, side_files
from finehard.dataset.packed import pack
from finehard.dataset.parts import part_count
from finehard.dataset.pointers import Pointer
from finehard.dataset.removals import Removals, recorded
from finehard.dataset.summary import ShardSummary
from finehard.dataset.writer import write_shard
from finehard.digest import digest
from finehard.errors import UsageError
from finehard.io import storage
from finehard.io.processes import Processes
from finehard.phrases import identity
from finehard.records import Bytes
from finehard.release.found_images import FoundImages, find_images
from finehard.release.image_id import image_id, subset_of
from finehard.release.json_stream import items
from finehard.release.make_sample import REASONS, STAGE, ReleaseConfig, SampleMaker
from finehard.release.url_table import url_table
from finehard.stages.provenance import Provenance
from finehard.state.lock import locked
from finehard.state.runs import new_run

COUNTS = "release.json"
"""In the dataset: items, samples, missing images and other rejects by sub-set."""
_BUCKETS = 64
_BATCH = 512
_HEAD = struct.Struct("<IHHI")
"""Before each finished item in a bucket: its shard, and the lengths of key, source and content."""

Progress = Callable[[str], None]


class Imported(NamedTuple):
    """A finished import: the manifest, and by sub-set what became of its items."""

    manifest: dict[str, Any]
    subsets: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Work:
    """What a worker process needs to know."""

    output: str
    run: str
    release: str
    images: str
    shards: int
    config: ReleaseConfig
    provenance: dict[str, Any]

    def bucket(self, number: int) -> Path:
        """The folder of the finished items of a range of shards."""
        return Path(side_files(self.output, self.run, "_records"), f"bucket-{number:02d}")


def import_release(
    release: str, images: str, output: str, config: ReleaseConfig | None = None,
    workers: int | None = None, progress: Progress = lambda line: None,
) -> Imported:  # fmt: skip
    """Writes the dataset `output` from the folders `release` and `images`, which may be the same.

    `workers` processes share the work (None: one for each core). Folders are local ones. Memory
    does not grow with the release: tables are on disk, in the output's journal folder, until the
    dataset is complete. Raises `UsageError` before anything is written, `FinehardError` when a file
    of the release is damaged.
    """
    config = config or ReleaseConfig()
    source, pictures, target = (_local(path) for path in (release, images, output))
    files = _checked(source, pictures, target)
    with locked(str(target)):
        return _import(source, pictures, str(target), files, config, workers, progress)


def _local(path: str) -> Path:
    if storage.is_remote(path):
        raise UsageError(f"{path}: import-release reads and writes local folders only")
    return Path(storage.local(path))


def _checked(release: Path, images: Path, output: Path) -> list[Path]:
    """Returns the files with the items. Raises `UsageError` if something is not as it should be."""
    for folder in (release, images):
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder")
        if folder.is_relative_to(output) or output.is_relative_to(folder):
            raise UsageError(f"{output} and {folder} overlap: choose another output")
    files = sorted(release.rglob("jsonfiles/*.json"))
    if not files:
        raise UsageError(f"{release} has no jsonfiles/*.json: give the release's folder")
    if output.exists() and not (output / JOURNAL).is_dir() and any(output.iterdir()):
        raise UsageError(f"{output} holds files that are not finehard's: choose another output")
    return files


def _import(
    release: Path, images: Path, output: str, files: list[Path], config: ReleaseConfig,
    workers: int | None, progress: Progress,
) -> Imported:  # fmt: skip
    begin(output)
    run = new_run()
    tables = Path(side_files(output, run, "_images"))
    tables.mkdir(parents=True)
    counts: Counter[str] = Counter()
    urls, unknown = url_table(release, tables / "urls")
    counts["keys of no known form"] += unknown
    progress(f"{len(urls):,} URLs have keys")
    found = find_images(images, urls, tables, counts)
    counts["images of no known URL or path"] += found.unnamed
    progress(f"{len(found):,} images found")
    stages = {STAGE: _provenance(config)}
    size = shard_size(len(found), config.shards)
    config = replace(config, shards=replace(config.shards, samples_per_shard=size))
    shards = shard_count(len(found), config.shards)
    work = _Work(output, run, str(release), str(images), shards, config, stages)
    for number in range(_BUCKETS):
        work.bucket(number).mkdir(parents=True)
    subsets: Counter[tuple[str, str]] = Counter()
    tasks = [(number, str(path)) for number, path in enumerate(files)]
    with Processes(min(workers or os.cpu_count() or 1, max(len(files), 1))) as each:
        done = each(partial(_spill, work, found), tasks)
        for number, of_file in enumerate(done, 1):
            subsets.update(of_file)
            progress(f"{number} of {len(files)} files of items read")
    summaries: list[ShardSummary] = []
    with Processes(min(workers or os.cpu_count() or 1, shards)) as each:
        for number, written in enumerate(each(partial(_write, work), range(_BUCKETS)), 1):
            summaries += written
            if number % 8 == 0 and written:
                progress(f"{len(summaries)} of {shards} shards written")
    by_subset = _by_subset(subsets)
    origin = Origin(
        str(release),
        {"release": {"defects": config.defects}, **_sections(config)},
        Provenance(stages, (), {"reject_reasons": REASONS}),
        {kind: number for kind, number in counts.items() if number},
    )
    read = sum(subset["items"] for subset in by_subset.values())
    text = orjson.dumps(by_subset, option=orjson.OPT_INDENT_2)
    storage.write(storage.join(output, COUNTS), text)
    with Processes(min(workers or os.cpu_count() or 1, part_count(shards))) as each:
        manifest = complete(output, run, origin, summaries, read, each)
    remove_side_files(output, run)
    return Imported(manifest, by_subset)


def _sections(config: ReleaseConfig) -> dict[str, Any]:
    return {name: asdict(getattr(config, name)) for name in ("shards", "images", "phrases")}


def _provenance(config: ReleaseConfig) -> dict[str, Any]:
    rules = {"defects": config.defects, "phrases": identity(config.phrases)}
    return {"model": "FineHARD, as published", "revision": None, "fingerprint": digest(rules)}


def _spill(work: _Work, found: FoundImages, task: tuple[int, str]) -> Counter[tuple[str, str]]:
    """Writes what the items of a file became to the buckets of their shards; returns counts by
    (sub-set, what)."""
    number, path = task
    make = SampleMaker(work.config, work.provenance)
    counts: Counter[tuple[str, str]] = Counter()
    buckets = [open(work.bucket(n) / f"{number:06d}", "wb") for n in range(_BUCKETS)]  # noqa: SIM115
    try:
        with open(path, "rb") as file:
            numbered = enumerate(items(file, path))
            while some := list(islice(numbered, _BATCH)):
                ids = [image_id(_path(item)) for _, item in some]
                places = found.find(ids)
                for (place, item), image, located in zip(some, ids, places, strict=True):
                    source = f"{os.path.basename(path)}#{place}"
                    made = make(item, source, located, work.images)
                    subset = subset_of(image)
                    counts[subset, "items"] += 1
                    reason = made.item.get("reject", {}).get("reason", "written")
                    counts[subset, reason] += 1
                    shard = shard_of(made.key, work.shards)
                    parts = made.key.encode(), source.encode("utf-8", "replace"), pack(made.item)
                    out = buckets[shard * _BUCKETS // work.shards]
                    out.write(_HEAD.pack(shard, *map(len, parts)) + b"".join(parts))
    finally:
        for out in buckets:
            out.close()
    return counts


def _path(item: Any) -> str:
    path = item.get("f_path") if isinstance(item, dict) else None
    return path if isinstance(path, str) else ""


def _write(work: _Work, bucket: int) -> list[ShardSummary]:
    """Writes the shards of a bucket and deletes its files."""
    first, last = (-(-n * work.shards // _BUCKETS) for n in (bucket, bucket + 1))
    pointers: dict[int, list[Pointer]] = {shard: [] for shard in range(first, last)}
    folder = work.bucket(bucket)
    removals = Removals(recorded(work.output))
    for path in sorted(folder.iterdir()):
        for shard, pointer in _pointers(str(path)):
            pointers[shard].append(pointer)
    written = [
        write_shard(
            work.output, work.run, shard, work.shards, of_shard,
            work.config.shards, work.config.images, removals=removals,
            source=work.release,
        )
        for shard, of_shard in pointers.items()
    ]  # fmt: skip
    storage.delete_tree(str(folder))
    return written


def _pointers(path: str) -> Iterator[tuple[int, Pointer]]:
    with open(path, "rb") as file:
        while head := file.read(_HEAD.size):
            shard, key_size, source_size, size = _HEAD.unpack(head)
            key, source = file.read(key_size).decode(), file.read(source_size).decode()
            where = Bytes(path, file.tell(), size)
            file.seek(size, os.SEEK_CUR)
            yield shard, Pointer(key, source, where)


def _by_subset(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (subset, what), number in counts.items():
        found.setdefault(subset, {"items": 0, "written": 0})[what] = number

    def place(subset: str) -> tuple[int, str]:
        digits = subset.rpartition("_")[2]
        return (int(digits), subset) if digits.isdecimal() else (1 << 30, subset)

    return {subset: found[subset] for subset in sorted(found, key=place)}
