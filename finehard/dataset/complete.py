"""Completes a dataset once all shards are written: index, sizes, card, and last the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

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
from finehard.dataset.merge import Check, PartSummary, at_will, by_part, merge_part, summed
from finehard.dataset.parts import (
    SHARDS_PER_PART,
    listed_tables,
    part_count,
    remove_other_parts,
    table_names,
)
from finehard.dataset.summary import ShardSummary
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.io.json_file import write_json
from finehard.io.processes import Each
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
    output: str,
    run: str,
    origin: Origin,
    summaries: Iterable[ShardSummary],
    read: int,
    each: Each = map,
    most: int = SHARDS_PER_PART,
) -> dict[str, Any]:
    """Merges the tables of all shards, part by part with `each`, then as `finish`. A part has at
    most `most` shards."""
    ordered = sorted(summaries, key=lambda summary: summary.index)
    parts = part_count(len(ordered), most)
    grouped = enumerate(by_part(ordered, parts))
    return finish(output, origin, list(each(partial(_merged, output, run, parts), grouped)), read)


def _merged(
    output: str, run: str, parts: int, group: tuple[int, list[ShardSummary]]
) -> PartSummary:
    return merge_part(output, run, group[0], parts, group[1])


def finish(
    output: str,
    origin: Origin,
    parts: Iterable[PartSummary],
    read: int,
    check: Check = at_will,
) -> dict[str, Any]:
    """Writes what describes the dataset, whose tables are written, the manifest last, and returns
    the manifest. Memory holds a row for each shard.

    May be repeated: runners do so after a failure. `read` is the number of inputs, counted where
    they are read. Raises `FinehardError` when it is not the number of samples and rejects: then
    something was lost, and no manifest is written.
    """
    parts = sorted(parts, key=lambda part: part.part)
    total = summed(parts)
    written, rejected = total.counts["written"], total.counts["rejected"]
    if read != written + rejected:
        raise FinehardError(
            f"{read} inputs were read, but {written} written and {rejected} rejected: {output} is "
            "not complete; run the same command again, and please report this"
        )
    check()
    _remove_strangers(output, total.shards)
    remove_other_parts(output, len(parts))
    write_sizes(output, total.shards)
    manifest = _manifest(output, origin, total, read)
    check()
    describe(output, manifest)
    examples = json.dumps(dict(sorted(total.examples.items()))).encode()
    storage.write(storage.join(output, JOURNAL, DROPPED), examples)
    return manifest


def write_sizes(output: str, shards: Iterable[Mapping[str, Any]]) -> None:
    """Writes sizes.json, from the shards as the manifest lists them."""
    write_json(storage.join(output, SIZES), {shard["name"]: shard["samples"] for shard in shards})


def describe(output: str, manifest: dict[str, Any], figures: str = "") -> None:
    """Writes the card and Croissant's metadata of a dataset that is whole, and last the manifest
    that they are made from. `figures` is what a published dataset's card says of its content."""
    storage.write(storage.join(output, CARD), card(manifest, figures).encode("utf-8", "replace"))
    whole = table_names(output, INDEX) == [INDEX]
    index_sha256 = _sha256(storage.join(output, INDEX)) if whole else None
    write_json(storage.join(output, CROISSANT), croissant(manifest, index_sha256))
    write_json(storage.join(output, MANIFEST), manifest)


def _sha256(uri: str) -> str:
    sha256 = hashlib.sha256()
    with storage.open_read(uri) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def _manifest(output: str, origin: Origin, total: PartSummary, read: int) -> dict[str, Any]:
    counts = ("written", "rejected", "renamed_keys", "regions", "hard_negatives")
    tables = listed_tables(output)
    return {
        "schema_version": SCHEMA_VERSION,
        "finehard": __version__,
        "input": origin.source,
        "counts": {"read": read, **{name: total.counts[name] for name in counts}},
        "rejects": dict(sorted(total.reasons.items())),
        "dropped": dict(sorted(total.dropped.items())),
        "usage": {
            stage: dict(zip(("requests", "prompt_tokens", "completion_tokens"), spent, strict=True))
            for stage, spent in sorted(total.usage.items())
        },
        "stages": origin.made_by.stages,
        "prompts": {p.name: {"sha256": p.sha256, "text": p.text} for p in origin.made_by.prompts},
        "config": origin.config,
        **({"tables": tables} if tables else {}),
        "shards": total.shards,
        **({"unread": dict(origin.unread)} if origin.unread else {}),
        **origin.made_by.own,
    }


def _remove_strangers(output: str, shards: Iterable[Mapping[str, Any]]) -> None:
    """Deletes shards and rejects of an earlier build with another number of shards."""
    ours = {shard["name"].removesuffix(".tar") for shard in shards}
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
