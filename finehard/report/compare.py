"""Two datasets side by side: counts, drops by rule, distributions, and texts of the same keys."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa

from finehard.dataset.reader import LOCATION, Dataset, open_dataset
from finehard.dataset.shard import Sample
from finehard.report.joined import OTHER, joined
from finehard.report.statistics import Counts, counted

EXAMPLES = 5
"""Samples whose texts are shown, unless more are asked for."""
_COMPARED = 100_000
"""Samples of both datasets whose annotations are read, at most; of more, every so many."""


def compare(first: str, second: str, examples: int = EXAMPLES) -> dict[str, Any]:
    """Returns what differs between two finished datasets, JSON-ready.

    `counts`, `rejects` and `dropped` map a name to the numbers in both; `means` a column of the
    index to its means, and `distributions` to bins (label, number in the first, in the second);
    `keys` counts those in both and in one only, how many samples of both were `compared`, and in
    how many of these texts differ; `texts` holds the first `examples` of them. Memory is that of
    `joined`. Raises `UsageError` for a folder that holds no finished dataset.
    """
    one, other = open_dataset(first), open_dataset(second)
    found: dict[str, Any] = {"datasets": [one.uri, other.uri]}
    for section in ("counts", "rejects", "dropped"):
        found[section] = _both(one.manifest[section], other.manifest[section])
    columns, others = counted(one), counted(other)
    found["means"] = _both(_means(columns), _means(others))
    found["distributions"] = {n: _bins(columns[n], others[n]) for n in columns}
    return {**found, **_of_keys(one, other, examples)}


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [one.get(name, 0), other.get(name, 0)] for name in one | other}


def _means(columns: dict[str, Counts]) -> dict[str, float]:
    return {name: round(counts.mean(), 3) for name, counts in columns.items()}


def _bins(one: Counts, other: Counts) -> list[list[Any]]:
    size = max(len(one.counts), len(other.counts))
    padded = [np.pad(c.counts, (0, size - len(c.counts))) for c in (one, other)]
    edges = Counts(padded[0] + padded[1]).edges()
    return [[label, *(int(c[start:stop].sum()) for c in padded)] for label, start, stop in edges]


def _of_keys(one: Dataset, other: Dataset, examples: int) -> dict[str, Any]:
    both = compared = differing = 0
    texts: list[dict[str, Any]] = []
    total, total_other = (d.manifest["counts"]["written"] for d in (one, other))
    step = max(1, ceil(min(total, total_other) / _COMPARED))
    for part in joined(one, other):
        chosen = part.take(pa.array(range(-both % step, part.num_rows, step), pa.int64()))
        both += part.num_rows
        compared += chosen.num_rows
        for left, right in zip(_samples(one, chosen), _samples(other, chosen, OTHER), strict=True):
            old, new = _texts(left.json), _texts(right.json)
            if old != new:
                differing += 1
                if len(texts) < examples:
                    changed = {n: [old.get(n), new.get(n)] for n in old | new
                               if old.get(n) != new.get(n)}  # fmt: skip
                    texts.append({"key": left.key, "texts": changed})
    keys = {"both": both, "first_only": total - both, "second_only": total_other - both,
            "compared": compared, "other_texts": differing}  # fmt: skip
    return {"keys": keys, "texts": texts}


def _samples(dataset: Dataset, rows: pa.Table, suffix: str = "") -> Iterator[Sample]:
    """Yields the samples of joined rows, with their annotations; few rows are objects at once."""
    shards = [shard["name"] for shard in dataset.manifest["shards"]]
    names = ["key", *(name + suffix for name in LOCATION if name != "key")]
    for batch in rows.select(names).rename_columns(LOCATION).to_batches(4096):
        placed = [{**row, "shard": shards[row["shard"]]} for row in batch.to_pylist()]
        yield from dataset.read_ahead(map(dataset.sample_at, placed))


def _texts(sample: dict[str, Any]) -> dict[str, str]:
    """Returns the texts of a sample by where they stand."""
    found = {name: sample[name] for name in ("short_caption", "long_caption")}
    for number, region in enumerate(sample["regions"]):
        found[f"region {number}"] = f"{region['short_expr']} | {region['long_expr']}"
        negatives = (negative["text"] for negative in region["hard_negatives"])
        found[f"negatives of region {number}"] = " | ".join(negatives)
    return found


def comparison_table(found: dict[str, Any]) -> str:
    """Returns what `compare` found as lines of text; of equal numbers none."""
    lines = [f"{'':44} {'first':>12} {'second':>12} {'difference':>12}"]
    for section in ("counts", "rejects", "dropped", "means"):
        for name, (left, right) in found[section].items():
            if left != right or section == "counts":
                title = f"{section}: {name}"[:44]
                lines.append(f"{title:44} {left:>12,} {right:>12,} {round(right - left, 3):>+12,}")
    lines += ["", keys_line(found["keys"])]
    for each in found["texts"]:
        lines += ["", each["key"]]
        for name, (left, right) in each["texts"].items():
            lines += [f"  {name}", f"    - {left}", f"    + {right}"]
    return "\n".join(lines)


def keys_line(keys: dict[str, int]) -> str:
    """Returns the counts of keys as a sentence."""
    of = "those in both" if keys["compared"] == keys["both"] else f"{keys['compared']:,} compared"
    return (
        f"{keys['both']:,} keys are in both, {keys['first_only']:,} in the first only, "
        f"{keys['second_only']:,} in the second only; {keys['other_texts']:,} of {of} have other "
        "texts"
    )
