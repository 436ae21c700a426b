"""Completes a dataset once all shards are written: index, sizes, card, and last the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from finehard import __version__
from finehard.dataset.card import card
from finehard.dataset.croissant import croissant
from finehard.dataset.layout import (
    CARD,
    CROISSANT,
    DROPPED,
    INDEX,
    JOURNAL,
    MANIFEST,
    REMOVING,
    REPORT,
    SCHEMA_VERSION,
    SHARD_NAME,
    SIDE_FILES,
    SIZES,
    side_files,
)
from finehard.dataset.regions import merge_regions, regions_part
from finehard.dataset.summary import EXAMPLES, ShardSummary
from finehard.dataset.tables import INDEX_SCHEMA, index_part
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.io.parquet import read_table
from finehard.stages.provenance import Provenance


class Origin(NamedTuple):
    """What a dataset is made from: its input, the config as plain values, models and prompts, and
    by kind what of the input was not read."""

    source: str
    config: dict[str, Any]
    made_by: Provenance
    unread: Mapping[str, int] = MappingProxyType({})


def begin(output: str) -> None:
    """Deletes the marks of a complete dataset, so that nothing half-written looks whole, and the
    side files of runs that were killed."""
    storage.delete([storage.join(output, name) for name in (MANIFEST, REPORT)])
    for kind in SIDE_FILES:
        storage.delete_tree(storage.join(output, JOURNAL, kind))
    storage.delete([storage.join(output, JOURNAL, REMOVING)])


def remove_side_files(output: str, run: str) -> None:
    """Deletes the side files of `run`, once its dataset is complete."""
    for kind in SIDE_FILES:
        folder = side_files(output, run, kind)
        storage.delete_tree(folder)
        if not storage.is_remote(folder):
            with contextlib.suppress(OSError):  # another run's are in it
                os.rmdir(os.path.dirname(folder))


def complete(
    output: str, run: str, origin: Origin, summaries: list[ShardSummary], read: int
) -> dict[str, Any]:
    """Writes what describes the dataset, the manifest last, and returns the manifest.

    May be repeated: runners do so after a failure. `read` is the number of inputs, counted where
    they are read. Raises `FinehardError` when it is not the number of samples and rejects: then
    something was lost, and no manifest is written.
    """
    written = sum(s.samples for s in summaries)
    rejected = sum(s.rejects for s in summaries)
    if read != written + rejected:
        raise FinehardError(
            f"{read} inputs were read, but {written} written and {rejected} rejected: {output} is "
            "not complete; run the same command again, and please report this"
        )
    _remove_strangers(output, summaries)
    merge_tables(output, run, {s.name: s.samples for s in summaries})
    manifest = _manifest(origin, summaries, read)
    describe(output, manifest)
    storage.write(storage.join(output, JOURNAL, DROPPED), json.dumps(_examples(summaries)).encode())
    return manifest


def merge_tables(output: str, run: str, samples: Mapping[str, int]) -> None:
    """Writes the index, the regions and the sizes from the parts of the shards that `run` wrote,
    given by their names with their numbers of samples."""
    with (
        storage.writing(storage.join(output, INDEX)) as file,
        pq.ParquetWriter(file, INDEX_SCHEMA, compression="zstd") as index,
    ):
        for data in ordered_map(storage.read_all, (index_part(output, run, n) for n in samples)):
            index.write_table(read_table(pa.BufferReader(data), schema=INDEX_SCHEMA))
    of_shards = (regions_part(output, run, name) for name in samples)
    merge_regions(output, ordered_map(storage.read_all, of_shards))
    sizes = {f"{name}.tar": number for name, number in samples.items()}
    storage.write(storage.join(output, SIZES), json.dumps(sizes, indent=1).encode())


def describe(output: str, manifest: dict[str, Any], figures: str = "") -> None:
    """Writes the card and Croissant's metadata of a dataset that is whole, and last the manifest
    that they are made from. `figures` is what a published dataset's card says of its content."""
    storage.write(storage.join(output, CARD), card(manifest, figures).encode("utf-8", "replace"))
    index_sha256 = _sha256(storage.join(output, INDEX))
    described = json.dumps(croissant(manifest, index_sha256), indent=1, ensure_ascii=False)
    storage.write(storage.join(output, CROISSANT), described.encode("utf-8", "replace"))
    text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=False)
    storage.write(storage.join(output, MANIFEST), text.encode())


def _sha256(uri: str) -> str:
    sha256 = hashlib.sha256()
    with storage.open_read(uri) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def _manifest(origin: Origin, summaries: list[ShardSummary], read: int) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    usage: dict[str, list[int]] = {}
    for summary in summaries:
        reasons.update(summary.reasons)
        dropped.update(summary.dropped)
        for stage, spent in summary.usage.items():
            total = usage.setdefault(stage, [0, 0, 0])
            usage[stage] = [a + b for a, b in zip(total, spent, strict=True)]
    return {
        "schema_version": SCHEMA_VERSION,
        "finehard": __version__,
        "input": origin.source,
        "counts": {
            "read": read,
            "written": sum(s.samples for s in summaries),
            "rejected": sum(s.rejects for s in summaries),
            "renamed_keys": sum(s.renamed for s in summaries),
            "regions": sum(s.regions for s in summaries),
            "hard_negatives": sum(s.hard_negatives for s in summaries),
        },
        "rejects": dict(sorted(reasons.items())),
        "dropped": dict(sorted(dropped.items())),
        "usage": {
            stage: dict(zip(("requests", "prompt_tokens", "completion_tokens"), spent, strict=True))
            for stage, spent in sorted(usage.items())
        },
        "stages": origin.made_by.stages,
        "prompts": {p.name: {"sha256": p.sha256, "text": p.text} for p in origin.made_by.prompts},
        "config": origin.config,
        "shards": [
            {"name": f"{s.name}.tar", "samples": s.samples, "bytes": s.bytes, "sha256": s.sha256}
            for s in summaries
        ],
        **({"unread": dict(origin.unread)} if origin.unread else {}),
        **origin.made_by.own,
    }


def _examples(summaries: list[ShardSummary]) -> dict[str, list[tuple[str, str]]]:
    """Returns the first samples' keys of which each rule dropped something, and what it was."""
    examples: dict[str, list[tuple[str, str]]] = {}
    for summary in summaries:
        for rule, dropped in summary.examples.items():
            examples[rule] = [*examples.get(rule, ()), *dropped][:EXAMPLES]
    return dict(sorted(examples.items()))


def _remove_strangers(output: str, summaries: list[ShardSummary]) -> None:
    """Deletes shards and rejects of an earlier build with another number of shards."""
    ours = {summary.name for summary in summaries}
    for folder, suffix in (("shards", ".tar"), ("rejected", ".parquet")):
        names = re.compile(SHARD_NAME.pattern + re.escape(suffix))
        files = storage.glob(storage.join(output, folder), "")
        storage.delete(
            [
                file.uri
                for file in files
                if names.fullmatch(name := file.uri.rsplit("/", 1)[1])
                and name.removesuffix(suffix) not in ours
            ]
        )
