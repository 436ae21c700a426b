"""What a published dataset's card shows of its content: numbers, shares, pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from finehard.audit.store import load_audit
from finehard.dataset.reader import Dataset
from finehard.dataset.shard import Sample
from finehard.images import ImageError
from finehard.io import storage
from finehard.records import one_line
from finehard.report.numbers import numbers
from finehard.report.pictures import draw_boxes

PICTURES = "pictures"
"""Folder of the card's pictures in a published dataset."""
_SHOWN = 3
_SIDE = 960
_LOOKED_AT = 200
_TITLES = {
    "long_words": "words of a long caption",
    "short_words": "words of a short caption",
    "regions": "regions of an image",
    "hard_negatives": "hard negatives of an image",
    "width": "width in pixels",
    "height": "height in pixels",
}


def figures(dataset: Dataset) -> str:
    """Returns tables of the dataset's numbers as Markdown. Those of texts are of a drawn sample."""
    found = numbers(dataset.uri)
    lines = ["| | mean | 5 % | median | 95 % | largest |", "|---|---|---|---|---|---|"]
    for name, title in _TITLES.items():
        of = found["indexed"][name]
        values = " | ".join(f"{of[column]:,}" for column in ("p5", "p50", "p95", "max"))
        lines.append(f"| {title} | {of['mean']:,.1f} | {values} |")
    sampled = found["sampled"]
    some = f"{sampled['samples']:,} samples drawn at random"
    lines += ["", f"Of {some}:", "", "| | |", "|---|---|"]
    shown = {
        "hard negatives by attribute": sampled["attributes"],
        "region texts, verification": sampled["regions_verified"],
        "hard negatives, verification": sampled["negatives_verified"],
    }
    for title, counts in shown.items():
        total = max(1, sum(counts.values()))
        shares = (f"{one_line(name)} {100 * n / total:.1f} %" for name, n in counts.items())
        lines.append(f"| {title} | {', '.join(shares) or 'none'} |")
    return "\n".join([*lines, *_audited(dataset.uri)])


def _audited(uri: str) -> list[str]:
    audit = load_audit(uri)
    if audit is None or not audit.get("items"):
        return []
    return [
        "",
        f"A model that sees the texts only, and no image, takes the true text among its negatives "
        f"in {100 * audit['accuracy']:.1f} % of {audit['items']:,} cases (chance "
        f"{100 * audit['chance']:.1f} %).",
    ]


def write_pictures(dataset: Dataset, output: str) -> str:
    """Writes some samples with their boxes as images below `output`, replacing earlier ones, and
    returns the Markdown that shows them. The samples are the first that have boxes."""
    storage.delete_tree(storage.join(output, PICTURES))
    lines = []
    for sample in _with_boxes(dataset):
        try:
            image = draw_boxes(sample, _SIDE)
        except ImageError:
            continue
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=85)
        name = f"{PICTURES}/{sample.key.replace('~', '-')}.jpg"
        storage.write(storage.join(output, name), out.getvalue())
        lines.append(f"![{_alt(sample.json)}]({name})")
        if len(lines) == _SHOWN:
            break
    return "\n".join(lines)


def _with_boxes(dataset: Dataset) -> Iterator[Sample]:
    for looked_at, sample in enumerate(dataset):
        if looked_at == _LOOKED_AT:
            return
        if sample.json["regions"]:
            yield sample


def _alt(sample: dict[str, Any]) -> str:
    """Returns the short caption without what Markdown would read in it."""
    kept = (c for c in one_line(sample["short_caption"])[:200] if c not in "[]()<>`\\*_#|!")
    return "".join(kept)


def card_figures(dataset: Dataset, output: str) -> str:
    """Writes the pictures to `output`, and returns the part of the card on its content."""
    return f"{figures(dataset)}\n\n{write_pictures(dataset, output)}"
