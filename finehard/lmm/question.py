"""A question to a model, its chat messages, and its answer or failure."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finehard.records import Usage
from finehard.schemas import ReplySchema


@dataclass(frozen=True)
class Question:
    """Text and JPEG images for a model, and the JSON Schema that its reply must fit.

    All questions about an image have the same `affinity`, so that they go to the same replica and
    hit its caches.
    """

    stage: str
    text: str
    schema: ReplySchema
    max_tokens: int
    images: tuple[bytes, ...] = ()
    affinity: str = ""
    choices: tuple[str, str] | None = None
    """As in `finehard.stages.stage.Ask`, as is `judge`."""
    judge: Callable[[Any], str | None] | None = None


@dataclass(frozen=True)
class Answer:
    """A reply's value, which fits the schema, and the usage of all attempts to get it."""

    value: Any
    usage: Usage


class RequestFailed(Exception):
    """No usable reply. `reason` is one of `finehard.rejects.REASONS`, `usage` what it cost."""

    def __init__(self, reason: str, detail: str, usage: Usage = Usage()) -> None:  # noqa: B008
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.usage = usage


def messages(question: Question, more: str = "") -> list[dict[str, Any]]:
    """Returns the chat messages of `question`: one user turn, images first to share prefixes.

    If there are several images, each is preceded by its number, so that the text can refer to it.
    `more` is added to the text.
    """
    text = question.text + more
    if not question.images:
        return [{"role": "user", "content": text}]
    parts: list[dict[str, Any]] = []
    for number, image in enumerate(question.images, 1):
        if len(question.images) > 1:
            parts.append({"type": "text", "text": f"Image {number}:"})
        parts.append({"type": "image_url", "image_url": {"url": _data_url(image)}})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
