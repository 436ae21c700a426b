"""What a stage is that asks a model: questions from a record, and the record with the answers.

A stage is pure. It knows nothing of HTTP, of the journal, of Beam: `finehard.beam.ask` lifts it
into the pipeline, so that a new stage is these two methods and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from finehard.records import Box, Record, Reject
from finehard.schemas import ReplySchema
from finehard.stages.prompts import Prompt


class Ask(NamedTuple):
    """A question as a stage states it. `views` are the parts of the image the model is shown."""

    text: str
    views: tuple[Box, ...]
    schema: ReplySchema
    max_tokens: int
    choices: tuple[str, str] | None = None
    """Where every entry of the reply is one of two words: these. `answer` then gets, for each
    entry, the probability of the first, as far as the server tells it, else 1 or 0."""


class Stage(Protocol):
    """A stage that asks `model` (a name under `models` in the config)."""

    name: str
    model: str
    prompt: Prompt

    def identity(self) -> dict[str, Any]:
        """What of the stage changes its questions or how answers are kept: prompt hash, version."""
        ...

    def questions(self, record: Record) -> Sequence[Ask]:
        """What to ask about `record`; nothing where there is nothing to ask."""
        ...

    def answer(self, record: Record, values: Sequence[Any]) -> Record | Reject:
        """`record` with the replies `values`, one to a question, each as its schema has it."""
        ...


def numbered(lines: list[str]) -> str:
    """`lines` as "1. ...", one to a line."""
    return "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
