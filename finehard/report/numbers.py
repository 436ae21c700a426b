"""The numbers of a dataset as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finehard.dataset.reader import open_dataset
from finehard.report import funnel
from finehard.report.statistics import Counts, gather


def numbers(dataset: str, seed: int = 0) -> dict[str, Any]:
    """The numbers of `dataset` as plain values. Those under "sampled" rest on
    `sampled.samples` samples drawn with `seed`. Raises `UsageError` where none is."""
    opened = open_dataset(dataset)
    found, _ = gather(opened, seed)
    told = found.sampled
    manifest = opened.manifest
    return {
        "counts": manifest["counts"],
        "funnel": {
            "images": [_step(step) for step in funnel.images(manifest, found.rejected.counts)],
            "expressions": [_step(step) for step in funnel.expressions(manifest, told.expressions)],
            "boxes": [_step(step) for step in funnel.regions(manifest)],
        },
        "rejects": manifest["rejects"],
        "dropped": manifest["dropped"],
        "usage": manifest["usage"],
        "wall_s": [run["seconds"] for run in funnel.runs(opened.uri)],
        "indexed": {name: _summary(counts) for name, counts in found.indexed.columns.items()},
        "caption_tokens": _summary(found.caption_tokens) if found.caption_tokens.total else None,
        "sampled": {
            "samples": told.samples,
            "seed": seed,
            "regions": told.regions,
            "score_hundredths": _summary(told.scores),
            "box_percent_of_image": _summary(told.areas),
            "attributes": _most(told.attributes),
            "swaps": _most(told.swaps),
            "nouns": _most(told.nouns),
            "adjectives": _most(told.adjectives),
            "regions_verified": _most(told.regions_verified),
            "negatives_verified": _most(told.negatives_verified),
            "repeated_long_captions": told.same_long_caption,
        },
    }


def _step(step: funnel.Step) -> dict[str, Any]:
    lost = {loss.reason: loss.number for loss in step.losses}
    return {"name": step.name, "left": step.left, "lost": lost}


def _summary(counts: Counts) -> dict[str, float]:
    named = {"p5": 0.05, "p50": 0.5, "p95": 0.95, "max": 1.0}
    return {
        "count": counts.total,
        "mean": round(counts.mean(), 2),
        **{name: counts.quantile(share) for name, share in named.items()},
    }


def _most(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:50])


def print_numbers(found: dict[str, Any]) -> None:
    """What `numbers` gave, as tables on standard output."""
    console = Console(highlight=False)
    steps = Table("", "left", "lost for", box=box.SIMPLE_HEAD)
    for name in ("images", "expressions", "boxes"):
        for step in found["funnel"][name]:
            lost = ", ".join(f"{reason} {n:,}" for reason, n in step["lost"].items())
            steps.add_row(step["name"], f"{step['left']:,}", lost)
        steps.add_section()
    console.print(steps)
    if found["usage"]:
        cost = Table("stage", "requests", "prompt tokens", "completion tokens", box=box.SIMPLE_HEAD)
        for stage, spent in found["usage"].items():
            cost.add_row(stage, *(f"{spent[n]:,}" for n in
                         ("requests", "prompt_tokens", "completion_tokens")))  # fmt: skip
        console.print(cost)
    spread = Table("", "mean", "p5", "median", "p95", "max", "of", box=box.SIMPLE_HEAD)
    told = found["sampled"]
    some = f"{told['samples']:,} drawn"
    rows = [(name, values, "all") for name, values in found["indexed"].items()]
    rows += [("score, hundredths", told["score_hundredths"], some),
             ("box, % of image", told["box_percent_of_image"], some)]  # fmt: skip
    if found["caption_tokens"]:
        rows.append(("caption reply, tokens", found["caption_tokens"], "replies read"))
    for name, values, of in rows:
        figures = (f"{values[n]:,}" for n in ("p5", "p50", "p95", "max"))
        spread.add_row(name, f"{values['mean']:,.1f}", *figures, of)
    console.print(spread)
    for name in ("attributes", "nouns", "adjectives", "swaps"):
        words = ", ".join(f"{word} {n:,}" for word, n in list(told[name].items())[:12])
        if words:
            console.print(Text.assemble((f"{name} ({some}): ", "dim"), words))
