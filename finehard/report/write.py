"""Writes report.html: gathers the statistics, makes the thumbnails, renders the template."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from finehard.audit.store import load_audit
from finehard.dataset.layout import REPORT
from finehard.dataset.reader import Dataset, dropped_examples, open_dataset
from finehard.dataset.shard import Sample
from finehard.dataset.unread import unread_line
from finehard.io import storage
from finehard.records import one_line
from finehard.report import funnel
from finehard.report.charts import bars, histogram
from finehard.report.diff import diff_words
from finehard.report.extra import extra_lines
from finehard.report.pictures import COLORS, letters, thumbnail
from finehard.report.statistics import Statistics, gather
from finehard.state.runs import recorded_runs

SAMPLES = 24
"""Samples on the contact sheet."""
MAX_BYTES = 5_000_000
"""Size limit of a report."""
_THUMBNAILS = 2_400_000
"""Characters of all thumbnails together."""
_REGIONS, _NEGATIVES, _EXTRA = 24, 24, 24
"""Regions, hard negatives of a region and extra values that are shown of a sample, at most."""
_TEXT, _CAPTION = 400, 3_000
"""Characters that are shown of a text."""
TEMPLATES = Path(__file__).parent / "templates"
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, bidirectional marks and lone surrogates: they would affect the text around
them."""


def report(
    dataset: str, output: str | None = None, seed: int = 0, samples: int = SAMPLES
) -> tuple[str, int]:
    """Writes the report of `dataset` to `output` (default: report.html in the dataset).

    Returns the path or URI of the report and its size in bytes. Nothing else is written. Raises
    `UsageError` if there is no finished dataset, or a damaged one.
    """
    opened = open_dataset(dataset)
    text = page(opened, seed, samples).encode("utf-8", "replace")
    uri = storage.join(opened.uri, REPORT) if output is None else storage.local(output)
    storage.write(uri, text)
    return uri, len(text)


def page(dataset: Dataset, seed: int = 0, samples: int = SAMPLES) -> str:
    """The report as HTML of less than `MAX_BYTES`; where texts are too long, with fewer samples."""
    manifest = dataset.manifest
    statistics, drawn = gather(dataset, seed)
    samples = min(samples, len(drawn))
    while True:
        text = _render(dataset, manifest, statistics, drawn[:samples], seed)
        if len(text.encode("utf-8", "replace")) < MAX_BYTES or not samples:
            return text
        samples //= 2


def _render(
    dataset: Dataset,
    m: dict[str, Any],
    statistics: Statistics,
    drawn: list[Sample],
    seed: int,
) -> str:
    budget = _THUMBNAILS // max(12, len(drawn))
    cards = [_card(sample.json, thumbnail(sample, budget)) for sample in drawn]
    order = {stage: number for number, stage in enumerate(funnel.flow(m))}
    script = (TEMPLATES / "report.js").read_text("utf-8")
    return environment().get_template("report.html").render(
        name=m.get("published", {}).get("name") or dataset.uri.rstrip("/").rsplit("/", 1)[-1],
        dataset=dataset.uri,
        m=m,
        seed=seed,
        images=funnel.images(m, statistics.rejected.counts),
        regions=funnel.regions(m),
        expressions=(phrases := funnel.expressions(m, statistics.sampled.expressions)),
        drops=funnel.other_drops(m, ("phrases",) if phrases else ()),
        untold=funnel.untold(m),
        unread=unread_line(m["unread"]) if m.get("unread") else "",
        corrected=funnel.corrections(m),
        left_out=_left_out(dataset),
        audit=_audit(dataset),
        costs=funnel.costs(m),
        runs=recorded_runs(dataset.uri),
        stages=sorted(m["stages"].items(), key=lambda item: order.get(item[0], 0)),
        skipped=funnel.verification(m) == "skip",
        asked=_asked(m),
        bytes=sum(shard["bytes"] for shard in m["shards"]),
        samples=cards,
        attributes=sorted({n["attribute"] for s in cards for r in s["regions"]
                           for n in r["negatives"]}),
        rejects=sorted(statistics.rejected.examples.items()),
        reasons=funnel.reasons(m),
        charts=_charts(statistics),
        sampled=statistics.sampled,
        all_sampled=statistics.sampled.samples == statistics.indexed.samples,
        style=Markup((TEMPLATES / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


def _left_out(dataset: Dataset) -> list[dict[str, Any]]:
    """The rules that dropped parts of samples, by stage, with examples."""
    examples = dropped_examples(dataset.uri)
    rules = []
    for name, number in sorted(dataset.manifest["dropped"].items()):
        if name in funnel.NOT_LEFT_OUT:
            continue
        stage, _, rule = name.partition(".")
        rows = [(key, _cut(part, _TEXT)) for key, part in examples.get(name, ())]
        rules.append({"stage": stage, "rule": rule, "number": number, "rows": rows})
    return rules


def _audit(dataset: Dataset) -> dict[str, Any] | None:
    """The rows of the blind audit's two tables; None if the dataset was not audited."""
    figures = load_audit(dataset.uri)
    if figures is None:
        return None
    accuracies = ("accuracy", "accuracy_texts_seen")
    try:
        rows = [("all texts", figures["items"], *(figures[a] for a in accuracies),
                 figures["chance"])]  # fmt: skip
        full = figures["eleven_way"]
        if full["items"]:
            rows.append(("with 10 negatives", full["items"], *(full[a] for a in accuracies),
                         1 / 11))  # fmt: skip
        rows += [
            (f"against one negative: {name}", one["negatives"], one["told_apart"],
             one["told_apart_texts_seen"], 0.5)
            for name, one in figures["attributes"].items()
        ]  # fmt: skip
        words = [{**word, "words": _cut(word["words"], 60)} for word in figures["words"]]
        return {"rows": rows, "words": words, "traits": _traits(figures.get("traits"))}
    except (KeyError, TypeError):
        return None  # written by another version


def _traits(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """The rows of the audit's second attacker; None if the audit was made before it existed."""
    if figures is None:
        return None
    named = [("all texts", figures, figures["chance"])]
    named += [(f"against one negative: {a}", one, 0.5) for a, one in figures["attributes"].items()]
    rows = [
        (name, one["items"], one["accuracy"], *one["interval"], chance, one["verdict"])
        for name, one, chance in named
    ]
    telling = [{**one, "trait": _cut(one["trait"], 60)} for one in figures["telling"]]
    return {"rows": rows, "telling": telling}


def _asked(manifest: dict[str, Any]) -> dict[str, Any]:
    """The prompts that a model was asked, by stage."""
    config = manifest["config"]
    unasked = {"verify"} if funnel.verification(manifest) == "skip" else set()
    if config.get("negatives", {}).get("backend") == "lexicon":
        unasked.add("negatives")
    return {name: p for name, p in manifest["prompts"].items() if name not in unasked}


def _card(sample: dict[str, Any], thumbnail: str | None) -> dict[str, Any]:
    """The template's values for a sample: texts cut to a length, boxes in per cent."""
    regions = []
    for number, region in enumerate(sample["regions"][:_REGIONS], 1):
        x1, y1, x2, y2 = (100 * min(1.0, max(0.0, float(side))) for side in region["box"])
        negatives = region["hard_negatives"]
        regions.append(
            {
                "number": number,
                "color": (color := COLORS[(number - 1) % len(COLORS)]),
                "letters": letters(color),
                "style": f"left:{x1:.2f}%;top:{y1:.2f}%;width:{x2 - x1:.2f}%;height:{y2 - y1:.2f}%",
                "area": (x2 - x1) * (y2 - y1),
                "score": region["score"],
                "verified": region["verified"],
                "short_expr": _cut(region["short_expr"], _TEXT),
                "long_expr": _cut(region["long_expr"], _TEXT),
                "negatives": [
                    {
                        "pieces": diff_words(
                            _cut(region["short_expr"], _TEXT), _cut(negative["text"], _TEXT)
                        ),
                        "attribute": negative["attribute"],
                        "verified": negative["verified"],
                    }
                    for negative in negatives[:_NEGATIVES]
                ],
                "more": max(0, len(negatives) - _NEGATIVES),
            }
        )
    image = sample["image"]
    return {
        "key": sample["key"],
        "picture": thumbnail,
        "width": image["width"],
        "height": image["height"],
        "source": _cut(image["source_uri"], _TEXT),
        "alt_text": _cut(sample["alt_text"] or "", 1_000),
        "short_caption": _cut(sample["short_caption"], 1_000),
        "long_caption": _cut(sample["long_caption"], _CAPTION),
        "long_words": len(sample["long_caption"].split()),
        "regions": regions,
        # smaller boxes above larger ones, so that each can be pointed at
        "boxes": sorted(regions, key=lambda r: -r["area"]),
        "more": max(0, len(sample["regions"]) - _REGIONS),
        "extra": [
            (_cut(name, _TEXT), _cut(value, _TEXT)) for name, value in extra_lines(sample)[:_EXTRA]
        ],
    }


def _cut(text: str, most: int) -> str:
    text = one_line(text[: 4 * most])
    return text if len(text) <= most else text[: most - 1] + "…"


def _charts(statistics: Statistics) -> list[dict[str, Any]]:
    columns, sampled = statistics.indexed.columns, statistics.sampled
    every = f"all {statistics.indexed.samples:,} samples"
    some = every
    if sampled.samples < statistics.indexed.samples:
        some = f"{sampled.samples:,} samples drawn at random"
    whole = [
        histogram("Long caption", columns["long_words"], "words", every),
        histogram("Short caption", columns["short_words"], "words", every),
        histogram("Caption reply", statistics.caption_tokens, "tokens",
                  f"{statistics.caption_tokens.total:,} replies with both captions, "
                  "tokens of the model that wrote them"),
        histogram("Regions per image", columns["regions"], "", every),
        histogram("Hard negatives per image", columns["hard_negatives"], "", every),
        histogram("Image width", columns["width"], "px", every),
        histogram("Image height", columns["height"], "px", every),
        histogram("Detector score", sampled.scores, "hundredths", some),
        histogram("Box size", sampled.areas, "% of the image", some),
    ]  # fmt: skip
    counted = [
        bars("Attributes of hard negatives", sampled.attributes, some),
        bars("Most frequent swaps", sampled.swaps, some),
        bars("Most frequent nouns", sampled.nouns, some + ", long captions"),
        bars("Most frequent adjectives", sampled.adjectives, some + ", long captions"),
        bars("Region texts, verification", sampled.regions_verified, some),
        bars("Hard negatives, verification", sampled.negatives_verified, some),
    ]
    return [chart for chart in (*whole, *counted) if chart["bars"]]


@cache
def environment() -> Environment:
    """Returns the templates, with filters for numbers, and without invisible characters."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    made.filters["number"] = lambda n: f"{n:,}"
    made.filters["duration"] = duration
    made.filters["size"] = size
    return made


def _visible(value: Any) -> Any:
    """`value` without characters that are invisible; applied to all that the template prints."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _INVISIBLE.sub("", value)


def duration(seconds: float) -> str:
    """Seconds in words: "35 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def size(number: float) -> str:
    """Bytes in words, decimal: "4.2 MB"."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1_000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1_000
    return f"{number:.1f} TB"
