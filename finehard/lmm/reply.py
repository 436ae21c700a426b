"""Parses a model's reply: the one JSON value in its text that fits the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from finehard.lmm.json_in_text import (
    LONGEST,
    json_values,
    last_thought,
    loose_json_values,
    without_reasoning,
)
from finehard.lmm.repair import Repair
from finehard.schemas import ReplySchema
from finehard.texts.refusal import is_refusal

NOT_JSON = "not JSON"
"""How the message begins where a reply holds no JSON at all."""


class InvalidReply(ValueError):
    """The reply is not JSON or does not fit the schema; the message is one line."""


class RefusedInProse(InvalidReply):
    """The reply is a short refusal without any JSON; the message is the model's own words."""


_LONGEST_REFUSAL = 400
"""Characters of the longest text that is a refusal alone; a longer one may also describe."""


def parse_reply(text: str, schema: ReplySchema, partial: bool = False) -> Any:
    """Returns the JSON value in `text` that fits `schema`; the last one if there are several.

    `text` may hold reasoning, prose, Markdown and special tokens around it. Where the value's form
    alone is wrong, it is put right (see `finehard.lmm.repair`). With `partial`, up to half of the
    entries under numbers may be bad or missing, and are missing from the value. Takes time linear
    in the length of `text`. Raises `InvalidReply`, or `RefusedInProse`.
    """
    if not text.strip():
        raise InvalidReply(f"{NOT_JSON}: the reply is empty")
    values: list[Any] = []
    try:
        value = orjson.loads(text)
    except ValueError as error:
        why = f"{NOT_JSON}: {' '.join(str(error).split())[:200]}"
    else:
        wrong = schema.why_invalid(value)
        if wrong is None:
            return value
        why = wrong
        if isinstance(value, str):
            text = value  # JSON inside a JSON string
        elif len(text) <= LONGEST:
            values = [value]
    repair = Repair(schema.full)
    lists = repair.count > 0 or schema.full.get("type") != "object"
    part: dict[str, Any] | None = None
    read = False
    for found in _readings(values, text, lists):
        read = read or bool(found)
        for number, candidate in enumerate(_candidates(found, repair, lists)):
            fitted = repair.fitted(candidate)
            wrong = schema.why_invalid(fitted)
            if wrong is None:
                return fitted
            if number == 0:
                why = wrong
            if partial and part is None:
                part = repair.good_entries(fitted)
    if (thought := last_thought(text)) is not None:
        fitted = repair.fitted(thought)
        if schema.why_invalid(fitted) is None:
            return fitted
    if part is not None:
        return part
    if not read and (words := _refusal(text)):
        raise RefusedInProse(words)
    raise InvalidReply(why)


def _refusal(text: str) -> str:
    """Returns the words of a reply that is a refusal and nothing else, on one line; else ""."""
    words = " ".join(without_reasoning(text[:LONGEST]).split()).strip("\"'*` ")
    return words if len(words) <= _LONGEST_REFUSAL and is_refusal(words) else ""


def _readings(values: list[Any], text: str, lists: bool) -> Iterator[list[Any]]:
    yield values or json_values(text, lists)
    yield loose_json_values(text, lists)


def _candidates(values: list[Any], repair: Repair, lists: bool) -> Iterator[Any]:
    """Yields what may be the reply, the most likely first: the last object, what it wraps, those
    before it; then arrays; then all values together."""
    kinds = (dict, list) if lists else dict
    for value in sorted(reversed(values), key=lambda value: isinstance(value, list)):
        yield value
        if isinstance(value, dict):
            yield from [v for v in list(value.values())[:-9:-1] if isinstance(v, kinds)]
        elif isinstance(value, list):
            yield from [v for v in value[:-9:-1] if isinstance(v, dict)]
    if len(values) > 1 and (merged := repair.merged(values)) is not None:
        yield merged
