"""A model's reply, read with suspicion: JSON out of text, checked against the schema."""

from __future__ import annotations

import re
from typing import Any

import orjson

from finehard.schemas import ReplySchema

_FENCED = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class InvalidReply(ValueError):
    """The reply is not what was asked for; the text says why, on one line."""


_CONTROLS = dict.fromkeys(range(32), " ")


def _loads(text: str) -> Any:
    """The JSON value of `text`; control characters are white space, in strings too.

    Guided decoding lets raw line breaks into strings, which JSON forbids. All else is strict: NaN,
    half surrogate pairs and deep nesting are refused. Raises ValueError.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        return orjson.loads(text.translate(_CONTROLS))


def parse_reply(text: str, schema: ReplySchema) -> Any:
    """The JSON value in `text`, a Markdown fence around it allowed. Raises `InvalidReply`."""
    if not text.strip():
        raise InvalidReply("the reply is empty")
    fenced = _FENCED.match(text) if text.lstrip().startswith("```") else None
    try:
        value = _loads(fenced.group(1) if fenced else text)
    except ValueError as error:
        raise InvalidReply(f"not JSON: {' '.join(str(error).split())[:200]}") from None
    wrong = schema.why_invalid(value)
    if wrong:
        raise InvalidReply(wrong)
    return value
