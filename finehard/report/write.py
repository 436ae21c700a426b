"""Writes report.html: gathers the numbers, draws the thumbnails, fills the template."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from finehard.audit.store import kept_audit
from finehard.dataset.layout import REPORT
from finehard.dataset.reader import Dataset, examples_dropped, open_dataset
from finehard.io import storage
from finehard.records import one_line
from finehard.rejects import REASONS
from finehard.report import funnel
from finehard.report.charts import bars, histogram
from finehard.report.diff import changed_words
from finehard.report.pictures import COLORS, letters, thumbnail
from finehard.report.statistics import Statistics, gather

SAMPLES = 24
"""Samples on the contact sheet."""
MOST_BYTES = 5_000_000
"""No report is larger."""
_PICTURES = 2_400_000
"""Characters of all thumbnails together."""
_REGIONS, _NEGATIVES = 24, 24
"""Of a sample, at most so many are shown."""
_TEXT, _CAPTION = 400, 3_000
"""Characters of a text that are shown."""
_TEMPLATES = Path(__file__).parent / "templates"
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls, marks of direction, half surrogate pairs: they would turn the text around them."""


def report(
    dataset: str, output: str | None = None, seed: int = 0, samples: int = SAMPLES
) -> tuple[str, int]:
    """Writes the report of `dataset` to `output` (default: report.html in it); where, and its
    bytes.

    Raises `UsageError` where there is no finished dataset, or one that is damaged.
    """
    opened = open_dataset(dataset)
    text = page(opened, seed, samples).encode("utf-8", "replace")
    uri = storage.join(opened.uri, REPORT) if output is None else storage.local(output)
    storage.write(uri, text)
    return uri, len(text)


def page(dataset: Dataset, seed: int = 0, samples: int = SAMPLES) -> str:
    """The report as HTML, less than `MOST_BYTES`: texts that would not fit cost samples."""
    numbers, drawn = gather(dataset, seed)
    samples = min(samples, len(drawn))
    while True:
        text = _page(dataset, numbers, drawn[:samples], seed)
        if len(text.encode("utf-8", "replace")) < MOST_BYTES or not samples:
            return text
        samples //= 2


def _page(dataset: Dataset, numbers: Statistics, drawn: list[dict[str, Any]], seed: int) -> str:
    manifest = dataset.manifest
    rows = {row["key"]: row for row in numbers.indexed.drawn[: len(drawn)]}
    most = _PICTURES // max(12, len(drawn))
    shown = [
        _shown(sample, thumbnail(storage.read(dataset.where(rows[sample["key"]], "image")), most))
        for sample in drawn
    ]
    runs = funnel.runs(dataset.uri)
    skipped = funnel.verification(manifest) == "skip"
    script = (_TEMPLATES / "report.js").read_text("utf-8")
    return _environment().get_template("report.html").render(
        name=dataset.uri.rstrip("/").rsplit("/", 1)[-1],
        dataset=dataset.uri,
        m=manifest,
        seed=seed,
        images=funnel.images(manifest, numbers.rejected.counts),
        regions=funnel.regions(manifest),
        expressions=(found := funnel.expressions(manifest, numbers.sampled.expressions)),
        drops=funnel.other_drops(manifest, ("phrases",) if found else ()),
        left_out=_left_out(dataset),
        audit=_audit(dataset),
        costs=funnel.costs(manifest),
        runs=runs,
        skipped=skipped,
        asked=_asked(manifest),
        bytes=sum(shard["bytes"] for shard in manifest["shards"]),
        samples=shown,
        attributes=sorted({n["attribute"] for s in shown for r in s["regions"]
                           for n in r["negatives"]}),
        rejects=sorted(numbers.rejected.examples.items()),
        reasons=REASONS,
        charts=_charts(numbers),
        told=numbers.sampled,
        all_sampled=numbers.sampled.samples == numbers.indexed.samples,
        style=Markup((_TEMPLATES / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


def _left_out(dataset: Dataset) -> list[dict[str, Any]]:
    """The rules that dropped parts of samples, by stage, with examples."""
    examples = examples_dropped(dataset.uri)
    found = []
    for name, number in sorted(dataset.manifest["dropped"].items()):
        stage, _, rule = name.partition(".")
        rows = [(key, _cut(what, _TEXT)) for key, what in examples.get(name, ())]
        found.append({"stage": stage, "rule": rule, "number": number, "rows": rows})
    return found


def _audit(dataset: Dataset) -> dict[str, Any] | None:
    """The blind audit's figures, rows for a table; None where the dataset was not audited."""
    found = kept_audit(dataset.uri)
    if found is None:
        return None
    try:
        full = found["eleven_way"]
        rows = [
            (
                "all texts",
                found["items"],
                found["accuracy"],
                found["accuracy_texts_seen"],
                found["chance"],
            )
        ]
        if full["items"]:
            rows.append(
                (
                    "with 10 negatives",
                    full["items"],
                    full["accuracy"],
                    full["accuracy_texts_seen"],
                    1 / 11,
                )
            )
        rows += [
            (
                f"against one negative: {name}",
                one["negatives"],
                one["told_apart"],
                one["told_apart_texts_seen"],
                0.5,
            )
            for name, one in found["attributes"].items()
        ]
        return {
            "rows": rows,
            "words": [{**word, "words": _cut(word["words"], 60)} for word in found["words"]],
        }
    except (KeyError, TypeError):
        return None  # written by another version


def _asked(manifest: dict[str, Any]) -> dict[str, Any]:
    """The prompts that were put to a model, by stage."""
    config = manifest["config"]
    unasked = {"verify"} if funnel.verification(manifest) == "skip" else set()
    if config.get("negatives", {}).get("backend") == "lexicon":
        unasked.add("negatives")
    return {name: p for name, p in manifest["prompts"].items() if name not in unasked}


def _shown(sample: dict[str, Any], picture: str | None) -> dict[str, Any]:
    """What the template shows of a sample: texts cut to a length, boxes as per cent."""
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
                        "pieces": changed_words(
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
        "picture": picture,
        "width": image["width"],
        "height": image["height"],
        "source": _cut(image["source_uri"], _TEXT),
        "alt_text": _cut(sample["alt_text"] or "", 1_000),
        "short_caption": _cut(sample["short_caption"], 1_000),
        "long_caption": _cut(sample["long_caption"], _CAPTION),
        "long_words": len(sample["long_caption"].split()),
        "regions": regions,
        # smaller boxes are put above larger ones, so that every one can be reached
        "boxes": sorted(regions, key=lambda r: -r["area"]),
        "more": max(0, len(sample["regions"]) - _REGIONS),
    }


def _cut(text: str, most: int) -> str:
    text = one_line(text[: 4 * most])
    return text if len(text) <= most else text[: most - 1] + "…"


def _charts(numbers: Statistics) -> list[dict[str, Any]]:
    columns, told = numbers.indexed.columns, numbers.sampled
    every = f"all {numbers.indexed.samples:,} samples"
    some = every
    if told.samples < numbers.indexed.samples:
        some = f"{told.samples:,} samples drawn at random"
    whole = [
        histogram("Long caption", columns["long_words"], "words", every),
        histogram("Short caption", columns["short_words"], "words", every),
        histogram("Caption reply", numbers.caption_tokens, "tokens",
                  f"{numbers.caption_tokens.total:,} replies with both captions, "
                  "tokens of the model that wrote them"),
        histogram("Regions per image", columns["regions"], "", every),
        histogram("Hard negatives per image", columns["hard_negatives"], "", every),
        histogram("Image width", columns["width"], "px", every),
        histogram("Image height", columns["height"], "px", every),
        histogram("Detector score", told.scores, "hundredths", some),
        histogram("Box size", told.areas, "% of the image", some),
    ]  # fmt: skip
    counted = [
        bars("Attributes of hard negatives", told.attributes, some),
        bars("Most frequent swaps", told.swaps, some),
        bars("Most frequent nouns", told.nouns, some + ", long captions"),
        bars("Most frequent adjectives", told.adjectives, some + ", long captions"),
        bars("Region texts, verification", told.regions_verified, some),
        bars("Hard negatives, verification", told.negatives_verified, some),
    ]
    return [chart for chart in (*whole, *counted) if chart["bars"]]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    made.filters["number"] = lambda n: f"{n:,}"
    made.filters["duration"] = duration
    made.filters["size"] = size
    return made


def _seen(value: Any) -> Any:
    """What the template shows of `value`, whoever wrote it."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub("", value)


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
