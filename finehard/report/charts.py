"""Bar charts as data; the template draws them in plain SVG and CSS, which follow dark mode."""

from __future__ import annotations

from collections import Counter
from typing import Any

from finehard.report.statistics import Counts

MAX_BARS = 15
"""Bars of a chart of words."""


def histogram(title: str, counts: Counts, unit: str, of: str) -> dict[str, Any]:
    """Vertical bars of a distribution, with its mean, median and 90th percentile."""
    bins = counts.bins()
    tallest = max((number for _, number in bins), default=1)
    note = (
        f"mean {counts.mean():.1f}, median {counts.quantile(0.5)}, "
        f"90 % up to {counts.quantile(0.9)}"
    )
    return {
        "kind": "histogram", "title": title, "unit": unit, "of": of, "note": note,
        "bars": [{"label": label, "number": number, "part": number / tallest,
                  "share": number / counts.total} for label, number in bins],
    }  # fmt: skip


def bars(title: str, counts: Counter[str], of: str) -> dict[str, Any]:
    """Horizontal bars of the most frequent words, each with its share of all."""
    total = counts.total()
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_BARS]
    longest = max((number for _, number in top), default=1)
    note = f"{total:,} in all" + (f", {len(counts):,} kinds" if len(counts) > MAX_BARS else "")
    return {
        "kind": "bars", "title": title, "unit": "", "of": of, "note": note,
        "bars": [{"label": label[:60], "number": number, "part": number / longest,
                  "share": number / total} for label, number in top],
    }  # fmt: skip
