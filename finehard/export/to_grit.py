"""GRIT-type grounded captions, JSONL: the long caption, and where in it each region is named."""

from __future__ import annotations

from typing import Any

from finehard.dataset.reader import Dataset
from finehard.export.json_lists import write_lines
from finehard.export.target import Target, usable


def write(dataset: Dataset, target: Target) -> None:
    """Writes grounded.jsonl and the images.

    `noun_chunks` and `ref_exps` are rows of start, end (characters of the caption), x1, y1, x2, y2
    (fractions) and score: the region's phrase, and the longest of its texts that the caption has.
    Regions that the caption does not name are counted.
    """
    with target.writing("grounded.jsonl") as file:
        write_lines(file, (_row(target, sample) for sample in dataset))


def _row(target: Target, sample: Any) -> dict[str, Any]:
    meta = sample.json
    caption, chunks, expressions = meta["long_caption"], [], []
    for region, *_ in usable(meta, target.counts):
        place = [*region["box"], region["score"]]
        texts = sorted((region[n] for n in ("phrase", "short_expr", "long_expr")), key=len)
        chunk = _span(caption, region["phrase"])
        expression = next(filter(None, (_span(caption, t) for t in reversed(texts))), None)
        if chunk:
            chunks.append([*chunk, *place])
        if expression:
            expressions.append([*expression, *place])
        target.counts["regions" if expression else "regions left out: not in the caption"] += 1
    target.counts["captions"] += 1
    return {
        "key": meta["key"],
        "image": target.add_image(sample),
        "url": meta["image"]["url"],
        "caption": caption,
        "width": meta["image"]["width"],
        "height": meta["image"]["height"],
        "noun_chunks": chunks,
        "ref_exps": expressions,
    }


def _span(caption: str, text: str) -> tuple[int, int] | None:
    at = caption.lower().find(text.lower()) if len(caption) == len(caption.lower()) else -1
    at = caption.find(text) if at < 0 else at
    return (at, at + len(text)) if at >= 0 else None
