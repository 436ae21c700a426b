"""Annotations that the user's own stages added to a sample, as lines of text."""

from __future__ import annotations

import json
from typing import Any


def extra_lines(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) for each value of the sample's `extra`, an object by stage name.

    The name is that of the stage, or "stage.name" where the stage's value is an object itself.
    Values that are not strings are given as JSON.
    """
    extra = sample.get("extra")
    lines = []
    for stage, value in extra.items() if isinstance(extra, dict) else ():
        if isinstance(value, dict):
            lines += [(f"{stage}.{name}", _text(one)) for name, one in value.items()]
        else:
            lines.append((str(stage), _text(value)))
    return lines


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
