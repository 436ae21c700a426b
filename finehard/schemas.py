"""The JSON Schemas of schemas/: loaded, compiled once, and checked with a one-line message."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from finehard.storage import project_file


@cache
def load_schema(name: str) -> dict[str, Any]:
    """The schema in schemas/NAME.schema.json."""
    return json.loads(project_file("schemas", f"{name}.schema.json").read_text("utf-8"))


@cache
def _compiled(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def why_invalid(value: Any, schema: dict[str, Any]) -> str | None:
    """What is wrong with `value`, as "where: what" on one line, or None when it fits."""
    error = next(_compiled(json.dumps(schema, sort_keys=True)).iter_errors(value), None)
    if error is None:
        return None
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    return f"{where.lstrip('.') or 'reply'}: {error.message}"[:300]
