"""A model's reply, read with suspicion: JSON out of text, checked against the schema."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from finehard.schemas import why_invalid

_FENCED = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class InvalidReply(ValueError):
    """The reply is not what was asked for; the text says why, on one line."""


def parse_reply(text: str, schema: dict[str, Any]) -> Any:
    """The JSON value in `text`, a Markdown fence around it allowed. Raises `InvalidReply`."""
    if not text.strip():
        raise InvalidReply("the reply is empty")
    fenced = _FENCED.match(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidReply(f"not JSON: {' '.join(str(error).split())[:200]}") from None
    try:
        wrong = why_invalid(value, schema)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates cannot be stored
    except RecursionError:
        raise InvalidReply("nested too deeply") from None
    except UnicodeEncodeError:
        raise InvalidReply("a text holds half a surrogate pair") from None
    if wrong:
        raise InvalidReply(wrong)
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
