"""A server's dialect of the chat protocol: what it accepts, learnt from what it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from finehard.lmm.config import ModelConfig
from finehard.lmm.question import Question, messages

ResponseFormat = Literal["json_schema", "plain_schema", "object_schema", "json_object", "none"]

_FORMATS: tuple[ResponseFormat, ...] = (
    "json_schema",
    "plain_schema",
    "object_schema",
    "json_object",
    "none",
)
"""From what guides a model most to what guides it least. "plain_schema" leaves out
additionalProperties, which some endpoints do not know; "object_schema" is json_object with a
schema beside it, as llama-cpp-python has it."""

_TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")
_OPTIONAL = ("seed", "temperature")
"""Fields that a request can do without."""

_FORMAT_WORDS = re.compile(
    r"response_?format|json.?schema|json.?object|json mode|grammar|structured|guided|"
    r"additional_?properties|samplers",
    re.IGNORECASE,
)
_MOST_LOGPROBS = re.compile(
    r"(?:max\w*|allowed|at most|less than|more than|equal to|up to|between|range|top_?logprobs?"
    r"|logprobs? (?:must|should|has to) be)\D{0,60}?(\d+)",
    re.IGNORECASE,
)
_RANGE = re.compile(
    r"(?<![\w.-])(?:0|(?<=\[)1|1(?!,\d{3}\b))\s*(?:,|\.{2,3}|-|\u2013|to|and)\s*(\d+)",
    re.IGNORECASE,
)
"""A range, of which only the most counts: "[0, 8]", "between 0 and 3", "1..4096"."""


@dataclass(frozen=True)
class Dialect:
    """How requests to a model are written."""

    response_format: ResponseFormat = "json_schema"
    logprobs: int = 20
    """Alternatives asked for each token of a verification; 0: no log-probabilities."""
    token_field: str = "max_tokens"
    left_out: tuple[str, ...] = ()
    """Optional fields that the server refuses."""

    def describe(self) -> list[str]:
        """Returns what differs from the protocol's full form, a phrase each."""
        full = Dialect()
        told = []
        if self.response_format != full.response_format:
            told.append(f"response format {self.response_format}")
        if self.logprobs != full.logprobs:
            told.append(f"{self.logprobs or 'no'} log-probabilities")
        if self.token_field != full.token_field:
            told.append(f"{self.token_field} instead of max_tokens")
        if self.left_out:
            told.append(f"without {', '.join(self.left_out)}")
        return told


def merged(one: Dialect, other: Dialect) -> Dialect:
    """Returns what the servers of both dialects accept."""
    return Dialect(
        max(one.response_format, other.response_format, key=_FORMATS.index),
        min(one.logprobs, other.logprobs),
        max(one.token_field, other.token_field, key=_TOKEN_FIELDS.index),
        tuple(dict.fromkeys((*one.left_out, *other.left_out))),
    )


def configured(config: ModelConfig) -> Dialect:
    """Returns the dialect that `config` asks for; "auto" begins with the protocol's full form."""
    return Dialect(
        "json_schema" if config.response_format == "auto" else config.response_format,
        config.logprobs,
        "max_tokens" if config.token_field == "auto" else config.token_field,
        tuple(config.drop),
    )


def payload(
    config: ModelConfig,
    dialect: Dialect,
    question: Question,
    turns: list[dict[str, Any]],
    max_tokens: int,
) -> dict[str, Any]:
    """Returns the body of a request for `question`, followed by `turns` of earlier replies."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [*messages(question, _schema_in_words(dialect, question)), *turns],
        dialect.token_field: max_tokens,
        "temperature": config.temperature,
        "seed": config.seed,
        **_response_format(dialect, question),
    }
    if question.choices and dialect.logprobs:
        body |= {"logprobs": True, "top_logprobs": dialect.logprobs}
    body |= config.extra_body
    return {
        name: value
        for name, value in body.items()
        if value is not None and name not in dialect.left_out
    }


def _response_format(dialect: Dialect, question: Question) -> dict[str, Any]:
    if dialect.response_format == "none":
        return {}
    schema = question.schema.value
    if dialect.response_format in ("json_object", "object_schema"):
        guide = {"schema": schema} if dialect.response_format == "object_schema" else {}
        return {"response_format": {"type": "json_object", **guide}}
    if dialect.response_format == "plain_schema":
        schema = _closed_by_nothing(schema)
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": question.stage, "schema": schema},
        }
    }


def _closed_by_nothing(schema: Any) -> Any:
    """Returns `schema` without `additionalProperties: false`; extra keys are dropped when read."""
    if isinstance(schema, dict):
        return {
            key: _closed_by_nothing(value)
            for key, value in schema.items()
            if not (key == "additionalProperties" and value is False)
        }
    return [_closed_by_nothing(item) for item in schema] if isinstance(schema, list) else schema


def _schema_in_words(dialect: Dialect, question: Question) -> str:
    if dialect.response_format in ("json_schema", "plain_schema"):
        return ""
    return f"\nThe JSON must fit this JSON Schema: {question.schema.text}"


def adapted(
    dialect: Dialect, config: ModelConfig, body: dict[str, Any], refusal: str
) -> Dialect | None:
    """Returns `dialect` changed so that a server which refused `body` with `refusal`, its own
    words, may accept it; None if the words name nothing that can be changed.

    Settings that the config fixes are not changed.
    """
    words = refusal.lower()
    if body.get("logprobs") and "logprob" in words:
        return replace(dialect, logprobs=_fewer(dialect.logprobs, refusal))
    other_field = next(f for f in _TOKEN_FIELDS if f != dialect.token_field)
    if config.token_field == "auto" and _prefers(other_field, dialect.token_field, words):
        return replace(dialect, token_field=other_field)
    for name in _OPTIONAL:
        if name in body and name not in config.extra_body and re.search(rf"\b{name}\b", words):
            return replace(dialect, left_out=(*dialect.left_out, name))
    if _FORMAT_WORDS.search(refusal) and "response_format" in body:
        return _less_guided(dialect, config)
    return None


def guesses(dialect: Dialect, config: ModelConfig, body: dict[str, Any]) -> list[Dialect]:
    """Returns what to try where a server refuses `body` without naming why, the likeliest first."""
    tried = []
    if body.get("logprobs"):
        tried.append(replace(dialect, logprobs=0))
    plainer = _less_guided(dialect, config) if "response_format" in body else None
    while plainer is not None:
        tried.append(plainer)
        plainer = _less_guided(plainer, config)
    names = tuple(name for name in _OPTIONAL if name in body and name not in config.extra_body)
    if names:
        tried.append(replace(dialect, left_out=(*dialect.left_out, *names)))
    return tried


def _less_guided(dialect: Dialect, config: ModelConfig) -> Dialect | None:
    following = _FORMATS[_FORMATS.index(dialect.response_format) + 1 :]
    if config.response_format != "auto" or not following:
        return None
    return replace(dialect, response_format=following[0])


def _fewer(asked: int, refusal: str) -> int:
    """Returns how many alternatives to ask for next: what a refusal allows, else none."""
    numbers = [int(number) for number in _MOST_LOGPROBS.findall(_most_only(refusal))]
    allowed = [number for number in numbers if 0 < number < asked]
    if allowed:
        return max(allowed)
    return 5 if "top_logprobs" in refusal and asked > 5 else 0


def _most_only(refusal: str) -> str:
    """Returns `refusal` with the most alone in place of each range, and no commas in numbers."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", _RANGE.sub(r"\1", refusal))


_UNKNOWN = r"(unknown|unrecogni[sz]ed|unsupported|not supported|not permitted|extra)"


def _prefers(other: str, current: str, words: str) -> bool:
    """Returns whether a refusal is about the name of the field with the most tokens."""
    if other in words and re.search(rf"\b{current}\b", words):
        return True
    field = rf"\b{current}\b"
    return bool(re.search(rf"{_UNKNOWN}\W.{{0,80}}{field}|{field}.{{0,80}}{_UNKNOWN}", words))


def room(refusal: str, asked: int) -> int | None:
    """Returns how many tokens a reply may have, by the words of a server that refused `asked`.

    None where the words are not about length; 0 where the prompt alone is too long. Where they
    name no numbers, or bound the prompt's length from below only, it is half of `asked`.
    """
    refusal = _most_only(refusal)
    if not _LENGTH_WORDS.search(refusal):
        return None
    context = _first(_CONTEXT, refusal)
    prompt = _first(_PROMPT, refusal)
    if _AT_LEAST.search(refusal):  # vLLM stops counting there: context - asked + 1
        return asked // 2
    if context is not None and prompt is not None:
        return max(0, min(context - prompt, asked - 1))
    most = _first(_MOST, refusal)
    if most is not None and 0 < most < asked:
        return most
    if prompt is None and _PROMPT_TOO_LONG.search(refusal):
        return 0
    return asked // 2


_LENGTH_WORDS = re.compile(
    r"context.{0,12}(length|size|window)|maximum.{0,20}(length|tokens)|max_(completion_|new_)?"
    r"tokens.{0,60}(large|least|most|less|exceed|greater|maximum|>|<|range|\[\d)|too many tokens"
    r"|n_ctx|range.{0,12}max_(completion_|new_)?tokens|maxtokens.{0,40}range",
    re.IGNORECASE | re.DOTALL,
)
_CONTEXT = re.compile(
    r"(?:context(?: length| size| window)?(?: is| of|:)?(?: only)?|n_ctx\W{1,4})\s*\(?(\d+)"
    r"|inputs?\W{0,3}tokens \+ \W?max_new_tokens\W{1,3}must be <= (\d+)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"\(?(\d+) (?:in (?:the messages|the prompt|your prompt)|input tokens|prompt tokens|"
    r"tokens from the input)|"
    r"n_prompt_tokens\W{1,4}(\d+)|messages resulted in (\d+)|(\d+) \W?inputs?\W? tokens",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(r"at least \d+ (?:input|prompt) tokens", re.IGNORECASE)
_MOST = re.compile(
    r"(?:at most|less than or equal to|maximum (?:value|allowed)?[^0-9]{0,40}|up to|> |<=|between"
    r"|(?:not|cannot) exceed|range\D{0,60})"
    r"\W{0,3}(\d+)",
    re.IGNORECASE,
)
_PROMPT_TOO_LONG = re.compile(
    r"(request|prompt|input|messages).{0,40}(exceed|too long)", re.IGNORECASE
)


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return next((int(group) for group in match.groups() if group), None) if match else None


_IMAGES = re.compile(
    r"(?:at most|up to|maximum of|max(?:imum)?:?)\s+(\d+)\s+(?:image|item)", re.IGNORECASE
)


def images_allowed(refusal: str) -> int | None:
    """Returns how many images a request may have, by the words of a server that refused more."""
    return _first(_IMAGES, refusal)
