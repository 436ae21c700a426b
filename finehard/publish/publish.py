"""Writes the copy of a dataset that is published: named, licensed, without local paths.

Shards are written one by one, and those that are whole are not written again by a repeated call.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from finehard.audit.store import load_audit, save_audit
from finehard.dataset.complete import describe, write_sizes
from finehard.dataset.layout import (
    INDEX,
    JOURNAL,
    MANIFEST,
    REMOVING,
    REPORT,
    SIDE_FILES,
    ShardsConfig,
    side_files,
)
from finehard.dataset.merge import merge_tables
from finehard.dataset.packed import Finished
from finehard.dataset.parts import listed_tables, table_names
from finehard.dataset.reader import Dataset, open_dataset
from finehard.dataset.regions import RegionWriter, region_rows, regions_part
from finehard.dataset.removals import RECORD, recorded
from finehard.dataset.shard import UnreadableSample
from finehard.dataset.tables import INDEX_SCHEMA, REJECT_SCHEMA, index_part, write_table
from finehard.dataset.writer import Hashed, write_sample
from finehard.digest import json_digest
from finehard.errors import FinehardError, UsageError
from finehard.images import ImagesConfig
from finehard.io import storage
from finehard.io.parquet import read_table
from finehard.io.processes import Processes
from finehard.preflight import check_output
from finehard.publish.about import About
from finehard.publish.citation import CITATION, citation
from finehard.publish.figures import card_figures
from finehard.publish.places import Places
from finehard.release.importing import COUNTS
from finehard.report import report
from finehard.state.lock import locked


class Published(NamedTuple):
    """A published copy: where it is, and its manifest."""

    output: str
    manifest: dict[str, Any]


@dataclass(frozen=True)
class _Work:
    """What a worker process needs to know."""

    dataset: str
    output: str
    run: str
    places: Places


def publish(
    dataset: str, output: str, about: About, input_name: str | None = None,
    workers: int | None = None,
) -> Published:  # fmt: skip
    """Writes `output`, a copy of `dataset` that tells no local path, and has a card, a citation
    file and a manifest with what `about` says.

    `source_uri` of samples and rejects becomes `input_name` (default: the last component of the
    input) and the path inside the input; annotations and images stay as they are. `workers`
    processes share the work (None: one for each core). Raises `UsageError` before anything is
    written, `FinehardError` where a sample is damaged.
    """
    source = open_dataset(dataset)
    manifest, target = source.manifest, storage.local(output)
    _check(source, target)
    name = input_name or manifest["input"].rstrip("/").rsplit("/", 1)[-1] or "input"
    if "/" in name or name != name.strip():
        raise UsageError(f"--input-name {name!r}: give a name without slashes")
    folders = [source.uri, target, os.path.expanduser("~"), os.getcwd()]
    places = Places(manifest["input"], name, folders)
    run = json_digest([manifest, name])[:16]
    work = _Work(source.uri, target, run, places)
    with locked(target):
        storage.delete([storage.join(target, file) for file in (MANIFEST, REPORT)])
        shards = _write_shards(work, source, workers)
        names = [shard["name"].removesuffix(".tar") for shard in shards]
        parts = max(1, len(table_names(source.uri, INDEX)))
        with Processes(min(workers or os.cpu_count() or 1, parts)) as each:
            merge_tables(target, run, names, parts, each)
        write_sizes(target, shards)
        made = _manifest(target, manifest, places, about, shards)
        storage.write(storage.join(target, CITATION), citation(made))
        if storage.exists(counts := storage.join(source.uri, COUNTS)):
            storage.write(storage.join(target, COUNTS), storage.read_all(counts))
        describe(target, made, card_figures(source, target))
        if audit := load_audit(source.uri):
            del audit["manifest_sha256"]
            save_audit(target, audit)
        report(target)
        for kind in SIDE_FILES:
            storage.delete_tree(storage.join(target, JOURNAL, kind))
    return Published(target, made)


def _check(source: Dataset, output: str) -> None:
    """Raises `UsageError` where the copy cannot be written to `output`."""
    if "published" in source.manifest:
        raise UsageError(f"{source.uri} is a published copy: give the dataset that it was made of")
    check_output(output, source.uri)
    if storage.exists(storage.join(output, JOURNAL, REMOVING)):
        raise UsageError(f"{output}: complete the removal first (finehard remove {output} ...)")
    manifest = storage.join(output, MANIFEST)
    there = storage.exists(manifest) or next(storage.walk(output), None) is not None
    if storage.exists(manifest):
        try:
            ours = "published" in json.loads(storage.read_all(manifest))
        except ValueError:
            ours = False
    else:
        ours = storage.is_dir(storage.join(output, JOURNAL))
    if there and not ours:
        raise UsageError(f"output {output} holds other files: choose an empty folder")
    if left := set(recorded(output)) - set(recorded(source.uri)):
        raise UsageError(
            f"{len(left)} removals from {output} were not made in {source.uri}: first finehard "
            f"remove {source.uri} --list {storage.join(output, JOURNAL, RECORD)}"
        )


def _write_shards(work: _Work, source: Dataset, workers: int | None) -> list[dict[str, Any]]:
    """Writes all shards; returns their entries for the manifest."""
    names = [shard["name"] for shard in source.manifest["shards"]]
    expected = {f"{n.removesuffix('.tar')}{s}" for n in names for s in (".tar", ".parquet")}
    for folder in ("shards", "rejected"):
        storage.sweep(storage.join(work.output, folder))
        files = storage.glob(storage.join(work.output, folder), "")
        storage.delete([f.uri for f in files if f.uri.rsplit("/", 1)[1] not in expected])
    with Processes(min(workers or os.cpu_count() or 1, len(names))) as each:
        return list(each(partial(_write_shard, work), names))


def _write_shard(work: _Work, name: str) -> dict[str, Any]:
    """Writes a shard, its parts of the tables and its rejects, unless that is done."""
    stem = name.removesuffix(".tar")
    done = storage.join(side_files(work.output, work.run, "_records"), f"{stem}.json")
    path = storage.join(work.output, "shards", name)
    if storage.exists(done) and storage.exists(path):
        listed: dict[str, Any] = json.loads(storage.read_all(done))
        if storage.size(path) == listed["bytes"]:
            return listed
    dataset = open_dataset(work.dataset)
    rows: list[dict[str, Any]] = []
    with (
        storage.writing(regions_part(work.output, work.run, stem), durable=False) as part,
        RegionWriter(part) as regions,
        storage.writing(path) as file,
    ):
        hashed = Hashed(file)
        for sample in dataset.located(storage.join(work.dataset, "shards", name)):
            try:
                made, data = work.places.sample(sample.json), sample.image_bytes
            except UnreadableSample as error:
                raise FinehardError(f"{error}: finehard validate {work.dataset}") from None
            if hashlib.sha256(data).hexdigest() != made["image"]["sha256"]:
                raise FinehardError(f"{name}: the image of {sample.key} is damaged")
            finished = Finished({"sample": made}, b"", b"")
            row = write_sample(hashed, sample.key, finished, data, ShardsConfig(), ImagesConfig())
            rows.append({**row, "shard": name})
            regions.add(region_rows(sample.key, name, made))
        hashed.end_tar()
    write_table(index_part(work.output, work.run, stem), rows, INDEX_SCHEMA)
    _write_rejects(work, stem)
    listed = {"name": name, "samples": len(rows), "bytes": hashed.written,
              "sha256": hashed.sha256.hexdigest()}  # fmt: skip
    storage.write(done, json.dumps(listed).encode())
    return listed


def _write_rejects(work: _Work, stem: str) -> None:
    old, new = (storage.join(folder, "rejected", f"{stem}.parquet")
                for folder in (work.dataset, work.output))  # fmt: skip
    if not storage.exists(old):
        storage.delete([new])
        return
    with storage.open_read(old) as file:
        rows = read_table(file).to_pylist()
    told = [
        {**row, "source": row["source"] and work.places.source(row["source"]),
         "detail": row["detail"] and work.places.text(row["detail"])}
        for row in rows
    ]  # fmt: skip
    write_table(new, told, REJECT_SCHEMA)


def _manifest(
    output: str,
    manifest: dict[str, Any],
    places: Places,
    about: About,
    shards: list[dict[str, Any]],
) -> dict[str, Any]:
    """Returns the manifest of the copy. Addresses of model servers are left out too."""
    made = {
        name: places.values(value) if name in ("config", "stages", "unread") else value
        for name, value in manifest.items()
    }
    for model in made["config"].get("models", {}).values():
        model["endpoints"] = []
    prompts = {
        name: {**prompt, "text": places.known(prompt["text"])}
        for name, prompt in manifest["prompts"].items()
    }
    if "tables" in made:
        made["tables"] = listed_tables(output)
    source = places.source(manifest["input"])
    return {**made, "input": source, "prompts": prompts, "shards": shards,
            "published": about.published()}  # fmt: skip
