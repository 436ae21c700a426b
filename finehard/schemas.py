"""JSON Schemas, finehard's and users': compiled to code once, checked with a one-line message."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import fastjsonschema

from finehard.digest import digest
from finehard.errors import UsageError
from finehard.registry import resource


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Returns the schema in NAME.schema.json: finehard's own in schemas/, else a user's beside the
    config or the pipeline. Raises `UsageError` where it is missing or not JSON."""
    path = resource("schemas", f"{name}.schema.json")
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError:
        raise UsageError(f"no schema {name!r} (looked for {path})") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: a JSON Schema is an object")
    return value


_NOT_SENT = frozenset(
    (
        "$schema",
        "$id",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "format",
    )  # fmt: skip
)
"""Keywords that are checked here, never sent. Lengths cost a grammar compiler seconds on a large
vocabulary, and some servers refuse them, or the names of drafts and titles."""


class ReplySchema:
    """A schema that replies must fit, compiled. Equal questions share one object.

    `full` is the schema, `value` what servers are sent of it, and `text` that as JSON.
    """

    def __init__(self, full: dict[str, Any]) -> None:
        self.full = full
        self.value = _bare(full)
        self.text = json.dumps(self.value, separators=(",", ":"))
        self.digest = digest(full)
        self._check = fastjsonschema.compile(full)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReplySchema, (self.full,)  # compiled code is not pickled, it is made again

    def why_invalid(self, reply: Any) -> str | None:
        """What is wrong with `reply`, as "where: what" on one line, or None when it fits."""
        return _wrong(self._check, reply)


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns `schema` without the keywords in `_NOT_SENT`; properties may have their names."""
    bare: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions", "patternProperties"):
            bare[key] = {name: _bare(inner) for name, inner in value.items()}
        elif key not in _NOT_SENT:
            bare[key] = _bare_value(value)
    return bare


def _bare_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _bare(value)
    return [_bare_value(item) for item in value] if isinstance(value, list) else value


@cache
def reply_schema(name: str, count: int = 0) -> ReplySchema:
    """Returns schema `name`; with `count`, its entries under exactly the keys "1" to `count`.

    Numbered keys, not an array: a model that skips an entry shifts none of those that follow.
    """
    value = load_schema(name)
    if count:
        keys = [str(number) for number in range(1, count + 1)]
        entry = value["additionalProperties"]
        value = {**value, "properties": dict.fromkeys(keys, entry), "required": keys}
        value["additionalProperties"] = False
    try:
        return ReplySchema(value)
    except fastjsonschema.JsonSchemaDefinitionException as error:
        raise UsageError(f"schema {name!r}: {' '.join(str(error).split())[:200]}") from None


@cache
def _check(name: str) -> Callable[[Any], Any]:
    return fastjsonschema.compile(load_schema(name))


def why_invalid(value: Any, name: str) -> str | None:
    """What is wrong with `value` by schema NAME, as "where: what" on one line, or None."""
    return _wrong(_check(name), value)


def _wrong(check: Callable[[Any], Any], value: Any) -> str | None:
    try:
        check(value)
    except fastjsonschema.JsonSchemaValueException as error:
        return " ".join(error.message.split())[:300].replace("data", "reply", 1)
    return None
