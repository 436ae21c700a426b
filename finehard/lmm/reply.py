"""Parses a model's reply: JSON, optionally in a Markdown fence, validated against the schema."""

from __future__ import annotations

from typing import Any

import orjson

from finehard.schemas import ReplySchema

_FENCE = "```"

_CONTROL_CHARACTERS = dict.fromkeys(range(32), " ")


class InvalidReply(ValueError):
    """The reply is not JSON or does not fit the schema; the message is one line."""


def parse_reply(text: str, schema: ReplySchema) -> Any:
    """Returns the JSON value in `text`, which may be in a Markdown fence.

    Raises `InvalidReply`.
    """
    if not text.strip():
        raise InvalidReply("the reply is empty")
    fenced = _strip_fence(text)
    try:
        value = _load_json(text if fenced is None else fenced)
    except ValueError as error:
        raise InvalidReply(f"not JSON: {' '.join(str(error).split())[:200]}") from None
    wrong = schema.why_invalid(value)
    if wrong:
        raise InvalidReply(wrong)
    return value


def _strip_fence(text: str) -> str | None:
    """Returns the text inside a Markdown fence, or None if `text` is not fenced.

    Runs on the event loop, so it must be linear in the length of any text a model can produce.
    """
    text = text.strip()
    if not text.startswith(_FENCE):
        return None
    text = text.removeprefix(_FENCE).removeprefix("json")
    indent = len(text) - len(text.lstrip())
    line_end = text.rfind("\n", 0, indent)
    body = text[line_end + 1 :]
    if line_end < 0 or not body.endswith(_FENCE):
        return None
    return body.removesuffix(_FENCE).rstrip()


def _load_json(text: str) -> Any:
    """Parses `text` as JSON; control characters count as white space, in strings too.

    Guided decoding allows raw line breaks in strings, which JSON forbids. Everything else is
    strict: NaN, lone surrogates and deep nesting are refused. Raises ValueError.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        return orjson.loads(text.translate(_CONTROL_CHARACTERS))
