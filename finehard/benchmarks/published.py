"""Published figures of other models, with their sources (data/published.yaml)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FILE = Path(__file__).parent / "data" / "published.yaml"


class Published(NamedTuple):
    """A published figure, a share from 0 to 1, and the key of its source."""

    model: str
    benchmark: str
    figure: str
    value: float
    source: str


@cache
def published() -> tuple[Published, ...]:
    """Returns all published figures; models in the order of the file."""
    content = _content()
    rows = [*content["models"], *content["others"]]
    return tuple(
        Published(row["name"], benchmark, name, value / 100, row.get("source", "tables"))
        for row in rows
        for benchmark, figures in row["figures"].items()
        for name, value in figures.items()
    )


def of(benchmark: str) -> list[Published]:
    """Returns the published figures of a benchmark."""
    return [one for one in published() if one.benchmark == benchmark]


def source(key: str) -> str:
    """Returns a line that says where the figures of a source are from."""
    found = _content()["sources"][key]
    return "; ".join(found[k] for k in ("title", "url", "where", "note") if k in found)


@cache
def _content() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text("utf-8"))
