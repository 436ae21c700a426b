"""The JSON Schemas of schemas/: loaded, compiled to code once, checked with a one-line message."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import fastjsonschema

from finehard.digest import digest
from finehard.io.storage import project_file


@cache
def load_schema(name: str) -> dict[str, Any]:
    """The schema in schemas/NAME.schema.json."""
    return json.loads(project_file("schemas", f"{name}.schema.json").read_text("utf-8"))


class ReplySchema:
    """A schema that replies must fit, compiled. Equal questions share one object."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.digest = digest(value)
        self._check = fastjsonschema.compile(value)

    def why_invalid(self, reply: Any) -> str | None:
        """What is wrong with `reply`, as "where: what" on one line, or None when it fits."""
        return _wrong(self._check, reply)


@cache
def reply_schema(name: str, count: int = 0) -> ReplySchema:
    """The schema NAME; with `count`, its entries under exactly the keys "1" to "`count`".

    Numbered keys, not an array: a model that skips one does not shift all that follow.
    """
    value = load_schema(name)
    if count:
        keys = [str(number) for number in range(1, count + 1)]
        entry = value["additionalProperties"]
        value = {**value, "properties": dict.fromkeys(keys, entry), "required": keys}
        value["additionalProperties"] = False
    return ReplySchema(value)


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
