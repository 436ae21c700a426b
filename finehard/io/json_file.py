"""Writes JSON files piece by piece, so that their text is never whole in memory."""

from __future__ import annotations

import io
import json
from typing import Any

from finehard.io import storage


def write_json(uri: str, value: Any) -> None:
    """Writes `value` as indented JSON to `uri`, whole or not at all. What UTF-8 cannot hold becomes
    a question mark."""
    with storage.writing(uri) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n")
        json.dump(value, text, indent=1, ensure_ascii=False)
        text.detach()  # and leaves `file` open
