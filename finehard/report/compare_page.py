"""The comparison of two datasets as a page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from finehard.io import storage
from finehard.records import one_line
from finehard.report.compare import keys_line
from finehard.report.diff import diff_words
from finehard.report.write import TEMPLATES, environment

EXAMPLES = 40
"""Samples whose texts a page shows."""
_TEXT = 3_000
_TITLES = {"counts": "Counts", "rejects": "Rejected for", "dropped": "Left out by rules"}


def write_comparison(found: dict[str, Any], output: str) -> str:
    """Writes what `compare` found to the file `output`, and returns its path or URI."""
    uri = storage.local(output)
    text = environment().get_template("diff.html").render(
        names=[dataset.rstrip("/").rsplit("/", 1)[-1] for dataset in found["datasets"]],
        datasets=found["datasets"],
        tables=[(title, _rows(found[name])) for name, title in _TITLES.items()],
        keys=keys_line(found["keys"]),
        charts=[_chart(name, bins, found["means"][name])
                for name, bins in found["distributions"].items()],
        samples=[(each["key"], _texts(each["texts"])) for each in found["texts"]],
        style=Markup((Path(TEMPLATES) / "report.css").read_text("utf-8")),
    )  # fmt: skip
    storage.write(uri, text.encode("utf-8", "replace"))
    return uri


def _rows(section: dict[str, list[int]]) -> list[tuple[str, int, int, int]]:
    return [(name, one, other, other - one) for name, (one, other) in sorted(section.items())]


def _chart(name: str, bins: list[list[Any]], means: list[float]) -> dict[str, Any]:
    """Returns a chart whose bars are shares of either dataset's samples."""
    totals = [max(1, sum(row[side] for row in bins)) for side in (1, 2)]
    shares = [(label, one / totals[0], other / totals[1]) for label, one, other in bins]
    tallest = max((max(row[1:]) for row in shares), default=1) or 1
    return {"title": name.replace("_", " "), "bars": shares, "tallest": tallest, "means": means}


def _texts(texts: dict[str, list[str | None]]) -> list[tuple[str, list[Any], list[Any]]]:
    """Returns the texts in runs of words, each with whether the other text lacks it."""
    rows = []
    for name, (old, new) in texts.items():
        one, other = (one_line((text or "")[:_TEXT]) for text in (old, new))
        rows.append((name, diff_words(other, one), diff_words(one, other)))
    return rows
