"""Completes a dataset once all shards are written: index, sizes, card, and last the manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from finehard import __version__
from finehard.config import as_dict
from finehard.dataset.card import card
from finehard.dataset.croissant import croissant
from finehard.dataset.layout import (
    CARD,
    CROISSANT,
    DROPPED,
    INDEX,
    JOURNAL,
    MANIFEST,
    REPORT,
    SCHEMA_VERSION,
    SIZES,
)
from finehard.dataset.summary import EXAMPLES, ShardSummary
from finehard.dataset.tables import INDEX_SCHEMA, index_part
from finehard.errors import FinehardError
from finehard.io import storage

if TYPE_CHECKING:
    from finehard.state.provenance import Provenance
    from finehard.worker.runtime import Build


def begin(output: str) -> None:
    """Takes away the marks of completeness, so that nothing half-written looks whole."""
    storage.delete([storage.join(output, name) for name in (MANIFEST, REPORT)])


def complete(
    build: Build,
    summaries: list[ShardSummary],
    read: int,
    made_by: Provenance,
) -> dict[str, Any]:
    """Writes what describes the dataset, the manifest last, and returns the manifest.

    `read` is the number of inputs, counted where they are read. Raises `FinehardError` when it is
    not the number of samples and rejects: then something was lost, and no manifest is written.
    """
    output = build.output
    written = sum(s.samples for s in summaries)
    rejected = sum(s.rejects for s in summaries)
    if read != written + rejected:
        raise FinehardError(
            f"{read} inputs were read, but {written} written and {rejected} rejected: {output} is "
            "not complete; run the same command again, and please report this"
        )
    _remove_strangers(output, summaries)
    with (
        storage.writing(storage.join(output, INDEX)) as file,
        pq.ParquetWriter(file, INDEX_SCHEMA, compression="zstd") as index,
    ):
        for summary in summaries:
            with storage.open_read(index_part(output, summary.name)) as part:
                index.write_table(pq.read_table(part, schema=INDEX_SCHEMA))
    sizes = {f"{s.name}.tar": s.samples for s in summaries}
    storage.write(storage.join(output, SIZES), json.dumps(sizes, indent=1).encode())
    manifest = _manifest(build, summaries, read, made_by)
    storage.write(storage.join(output, CARD), card(manifest).encode("utf-8", "replace"))
    index_sha256 = _sha256(storage.join(output, INDEX))
    described = json.dumps(croissant(manifest, index_sha256), indent=1, ensure_ascii=False)
    storage.write(storage.join(output, CROISSANT), described.encode("utf-8", "replace"))
    text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=False)
    storage.write(storage.join(output, MANIFEST), text.encode())
    storage.write(storage.join(output, JOURNAL, DROPPED), json.dumps(_examples(summaries)).encode())
    for folder in ("_records", "_images", "_index"):
        storage.delete_tree(storage.join(output, "_journal", folder))
    return manifest


def _sha256(uri: str) -> str:
    sha256 = hashlib.sha256()
    with storage.open_read(uri) as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def _manifest(
    build: Build,
    summaries: list[ShardSummary],
    read: int,
    made_by: Provenance,
) -> dict[str, Any]:
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
        "input": build.input,
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
        "stages": made_by.stages,
        "prompts": {p.name: {"sha256": p.sha256, "text": p.text} for p in made_by.prompts},
        "config": as_dict(build.config),
        "shards": [
            {"name": f"{s.name}.tar", "samples": s.samples, "bytes": s.bytes, "sha256": s.sha256}
            for s in summaries
        ],
        **made_by.own,
    }


def _examples(summaries: list[ShardSummary]) -> dict[str, list[tuple[str, str]]]:
    """Of each rule that dropped something: keys of the first samples, and what it was of theirs."""
    found: dict[str, list[tuple[str, str]]] = {}
    for summary in summaries:
        for rule, told in summary.examples.items():
            found[rule] = [*found.get(rule, ()), *told][:EXAMPLES]
    return dict(sorted(found.items()))


def _remove_strangers(output: str, summaries: list[ShardSummary]) -> None:
    """Shards and rejects of an earlier build with another number of shards."""
    ours = {s.name for s in summaries}
    for folder, suffix in (("shards", ".tar"), ("rejected", ".parquet")):
        found = storage.glob(storage.join(output, folder), "")
        storage.delete(
            [f.uri for f in found if f.uri.rsplit("/", 1)[1].removesuffix(suffix) not in ours]
        )
