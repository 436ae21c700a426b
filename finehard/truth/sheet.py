"""A page to label a dataset with: pictures, boxes and texts, and a button that saves the labels."""

from __future__ import annotations

import base64
import hashlib
import heapq
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from finehard.dataset.reader import Dataset
from finehard.dataset.shard import Sample
from finehard.digest import number
from finehard.records import one_line
from finehard.report.pictures import thumbnail
from finehard.truth.labels import VERSION, sentences

SIDE = 1024
"""Longest side of a picture in pixels."""
_PICTURE = 400_000
"""Characters of a picture, at most."""
_TEMPLATES = Path(__file__).parent / "templates"


def sheet(dataset: Dataset, samples: int, negatives: int, seed: int = 0) -> str:
    """The page as HTML, for `samples` samples with `negatives` hard negatives per region at most.

    Which ones is drawn by hashes of `seed`. The texts of a region are in a drawn order, so that
    their place does not say which are hard negatives. Memory grows with `samples` only.
    """
    drawn: list[tuple[int, str, Sample]] = []
    for sample in dataset:
        entry = (-number(f"{seed} {sample.json['image']['sha256']} {sample.key}"), sample.key)
        if len(drawn) < samples:
            heapq.heappush(drawn, (*entry, sample))
        elif drawn and entry > drawn[0][:2]:
            heapq.heapreplace(drawn, (*entry, sample))
    cards = [_card(sample, negatives, seed) for *_, sample in sorted(drawn, key=lambda d: -d[0])]
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True)
    script = (_TEMPLATES / "sheet.js").read_text("utf-8")
    return environment.get_template("sheet.html").render(
        name=dataset.uri.rstrip("/").rsplit("/", 1)[-1],
        data={"version": VERSION, "seed": seed, "samples": cards},
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _card(sample: Sample, negatives: int, seed: int) -> dict[str, Any]:
    row = sample.json
    captions = [s for name in ("short_caption", "long_caption") for s in sentences(row[name])]
    return {
        "key": row["key"],
        "sha256": row["image"]["sha256"],
        "picture": thumbnail(sample, _PICTURE, SIDE),
        "sentences": list(dict.fromkeys(captions)),
        "regions": [
            {
                "box": region["box"],
                "text": one_line(region["short_expr"]),
                "statements": _statements(region, negatives, f"{seed} {row['key']} {place}"),
            }
            for place, region in enumerate(row["regions"])
        ],
    }


def _statements(region: dict[str, Any], negatives: int, drawn_by: str) -> list[str]:
    def order(text: str) -> int:
        return number(f"{drawn_by} {text}")

    texts = (one_line(negative["text"]) for negative in region["hard_negatives"])
    true = {one_line(region["short_expr"]), one_line(region["long_expr"])}
    chosen = sorted(dict.fromkeys(t for t in texts if t not in true), key=order)[:negatives]
    return sorted([*true, *chosen], key=lambda text: order(f"shown {text}"))
