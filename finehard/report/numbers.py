"""The statistics of a dataset as JSON and as tables."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finehard.dataset.reader import open_dataset
from finehard.dataset.unread import unread_line
from finehard.report import funnel
from finehard.report.statistics import Counts, gather
from finehard.state.runs import recorded_runs


def numbers(dataset: str, seed: int = 0) -> dict[str, Any]:
    """The statistics of `dataset` as JSON values.

    Those under "sampled" are of `sampled.samples` samples drawn with `seed`. Raises `UsageError`
    if there is no finished dataset, or a damaged one.
    """
    opened = open_dataset(dataset)
    manifest = opened.manifest
    statistics, _ = gather(opened, seed)
    sampled, tokens = statistics.sampled, statistics.caption_tokens
    return {
        "counts": manifest["counts"],
        "funnel": {
            "images": [_step(step) for step in funnel.images(manifest, statistics.rejected.counts)],
            "expressions": [
                _step(step) for step in funnel.expressions(manifest, sampled.expressions)
            ],
            "boxes": [_step(step) for step in funnel.regions(manifest)],
        },
        "rejects": manifest["rejects"],
        "dropped": manifest["dropped"],
        "unread": manifest.get("unread", {}),
        "usage": {c.stage: manifest["usage"][c.stage] for c in funnel.costs(manifest)},
        "wall_s": [run["seconds"] for run in recorded_runs(opened.uri)],
        "indexed": {name: _summary(counts) for name, counts in statistics.indexed.columns.items()},
        "caption_tokens": _summary(tokens) if tokens.total else None,
        "sampled": {
            "samples": sampled.samples,
            "seed": seed,
            "regions": sampled.regions,
            "score_hundredths": _summary(sampled.scores),
            "box_percent_of_image": _summary(sampled.areas),
            "attributes": _top(sampled.attributes),
            "swaps": _top(sampled.swaps),
            "nouns": _top(sampled.nouns),
            "adjectives": _top(sampled.adjectives),
            "regions_verified": _top(sampled.regions_verified),
            "negatives_verified": _top(sampled.negatives_verified),
            "repeated_long_captions": sampled.repeated_long_captions,
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


def _top(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:50])


def print_numbers(values: dict[str, Any]) -> None:
    """Prints the result of `numbers` as tables."""
    console = Console(highlight=False)
    steps = Table("", "left", "lost for", box=box.SIMPLE_HEAD)
    for name in ("images", "expressions", "boxes"):
        for step in values["funnel"][name]:
            lost = ", ".join(f"{reason} {n:,}" for reason, n in step["lost"].items())
            steps.add_row(step["name"], f"{step['left']:,}", lost)
        steps.add_section()
    console.print(steps)
    if values["unread"]:
        console.print(unread_line(values["unread"]), soft_wrap=True, markup=False)
    if values["usage"]:
        cost = Table("stage", "requests", "prompt tokens", "completion tokens", box=box.SIMPLE_HEAD)
        for stage, spent in values["usage"].items():
            cost.add_row(stage, *(f"{spent[n]:,}" for n in
                         ("requests", "prompt_tokens", "completion_tokens")))  # fmt: skip
        console.print(cost)
    spread = Table("", "mean", "p5", "median", "p95", "max", "of", box=box.SIMPLE_HEAD)
    sampled = values["sampled"]
    some = f"{sampled['samples']:,} drawn"
    rows = [(name, values, "all") for name, values in values["indexed"].items()]
    rows += [("score, hundredths", sampled["score_hundredths"], some),
             ("box, % of image", sampled["box_percent_of_image"], some)]  # fmt: skip
    if values["caption_tokens"]:
        rows.append(("caption reply, tokens", values["caption_tokens"], "replies read"))
    for name, values, of in rows:
        figures = (f"{values[n]:,}" for n in ("p5", "p50", "p95", "max"))
        spread.add_row(name, f"{values['mean']:,.1f}", *figures, of)
    console.print(spread)
    for name in ("attributes", "nouns", "adjectives", "swaps"):
        words = ", ".join(f"{word} {n:,}" for word, n in list(sampled[name].items())[:12])
        if words:
            console.print(Text.assemble((f"{name} ({some}): ", "dim"), words))
