"""Charts as bars that the template draws in plain SVG and CSS, so that they follow dark mode."""

from __future__ import annotations

from collections import Counter
from typing import Any

from finehard.report.statistics import Counts

MOST = 15
"""Bars of a chart that names words."""


def histogram(title: str, counts: Counts, unit: str, of: str) -> dict[str, Any]:
    """Upright bars of a distribution, with its mean, median and 90th percentile."""
    found = counts.bins()
    most = max((number for _, number in found), default=1)
    note = (
        f"mean {counts.mean():.1f}, median {counts.quantile(0.5)}, "
        f"90 % up to {counts.quantile(0.9)}"
    )
    return {
        "kind": "histogram", "title": title, "unit": unit, "of": of, "note": note,
        "bars": [{"label": label, "number": number, "part": number / most,
                  "share": number / counts.total} for label, number in found],
    }  # fmt: skip


def bars(title: str, counts: Counter[str], of: str) -> dict[str, Any]:
    """Lying bars of the most frequent words, with their share of all."""
    total = counts.total()
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]
    most = max((number for _, number in found), default=1)
    note = f"{total:,} in all" + (f", {len(counts):,} kinds" if len(counts) > MOST else "")
    return {
        "kind": "bars", "title": title, "unit": "", "of": of, "note": note,
        "bars": [{"label": label[:60], "number": number, "part": number / most,
                  "share": number / total} for label, number in found],
    }  # fmt: skip
