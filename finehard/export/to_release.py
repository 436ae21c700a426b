"""The published FineHARD's JSON: jsonfiles/*.json, each a list of items, and the images.

Items of an imported release get their own `f_path` and bbox back. `flag_short_neg` is 1 where a
region has 10 negatives, the number that the published trainer reads.
"""

from __future__ import annotations

from typing import Any

from finehard.dataset.reader import Dataset
from finehard.export.json_lists import write_list
from finehard.export.target import Target, Usable, by_shard, usable

NEGATIVES = 10


def write(dataset: Dataset, target: Target) -> None:
    """Writes a JSON file for each shard; counts items, regions and negatives."""
    for name, samples in by_shard(dataset):
        with target.writing(f"jsonfiles/{name}_results.json") as file:
            write_list(file, (_item(target, sample) for sample in samples))


def _item(target: Target, sample: Any) -> dict[str, Any]:
    meta = sample.json
    released = meta.get("extra", {}).get("release", {})
    path = target.add_image(sample, released.get("f_path"))
    regions = usable(meta, target.counts)
    target.counts["items"] += 1
    return {
        "caption": meta["long_caption"],
        "short_caption": meta["short_caption"],
        "f_path": path,
        "bbox_info": [_bbox(target, region, released) for region in regions],
    }


def _bbox(target: Target, usable: Usable, released: dict[str, Any]) -> dict[str, Any]:
    region, negatives, number = usable
    texts = [negative["text"] for negative in negatives]
    if len(texts) > NEGATIVES:
        target.counts["negatives left out: more than 10"] += len(texts) - NEGATIVES
        texts = texts[:NEGATIVES]
    target.counts["regions"] += 1
    target.counts["negatives"] += len(texts)
    flag = int(len(texts) == NEGATIVES)
    target.counts["regions with 10 negatives"] += flag
    keys = _of_region(released, "negative_keys", number, [])
    if len(keys) != len(texts):  # those of an import are still the same
        keys = [f"neg_{n}" for n in range(len(texts))]
    scored = _of_region(released, "scored", number, True)
    return {
        "bbox": [*region["box"], *([region["score"]] if scored else [])],
        "short_expr": region["short_expr"],
        "long_expr": region["long_expr"],
        "flag_short_neg": flag,
        "short_expr_negs": dict(zip(keys, texts, strict=True)),
    }


def _of_region(released: dict[str, Any], name: str, number: int, otherwise: Any) -> Any:
    values = released.get(name, [])
    return values[number] if number < len(values) else otherwise
