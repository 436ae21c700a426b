"""What a server's refusal, in its own words, changes in the next request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finehard.lmm.config import ModelConfig
from finehard.lmm.dialect import (
    Dialect,
    adapted,
    configured,
    guesses,
    images_allowed,
    merged,
    payload,
    room,
)
from finehard.lmm.question import Question
from finehard.schemas import reply_schema

AUTO = ModelConfig(model="m", endpoints=("http://h/v1",))
VERIFY = Question("verify", "True?", reply_schema("verify", 2), 100, choices=("yes", "no"))
FULL = Dialect()


def body(config: ModelConfig = AUTO, dialect: Dialect = FULL) -> dict[str, Any]:
    return payload(config, dialect, VERIFY, [], 100)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("`logprobs` is not supported with this model", {"logprobs": 0}),
        ("top_logprobs must be less than or equal to 5", {"logprobs": 5}),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", {"logprobs": 5}),
        ("Invalid value for 'top_logprobs': must be between 0 and 3.", {"logprobs": 3}),
        ("top_logprobs must be in the range [0, 8], got 20", {"logprobs": 8}),
        ("logprobs must be 0..5", {"logprobs": 5}),
        ("Cannot request more than 5 logprobs.", {"logprobs": 5}),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            {"token_field": "max_completion_tokens"},
        ),
        ('extra_forbidden loc ["body", "seed"]', {"left_out": ("seed",)}),
        (
            "Unsupported value: 'temperature' does not support 0.0 with this model.",
            {"left_out": ("temperature",)},
        ),
        (
            "Unknown name \"additionalProperties\" at 'generation_config.response_schema'",
            {"response_format": "plain_schema"},
        ),
        ("failed to parse grammar", {"response_format": "plain_schema"}),
        ("prompt must not be empty", None),
    ],
)
def test_a_refusal_changes_what_it_names(words: str, changed: dict[str, Any] | None) -> None:
    expected = None if changed is None else replace(FULL, **changed)
    assert adapted(FULL, AUTO, body(), words) == expected


def test_formats_go_from_most_guided_to_none() -> None:
    formats = []
    dialect: Dialect | None = FULL
    while dialect is not None:
        formats.append(dialect.response_format)
        dialect = adapted(dialect, AUTO, body(dialect=dialect), "response_format is not supported")
    assert formats == ["json_schema", "plain_schema", "object_schema", "json_object", "none"]


def test_what_the_config_fixes_is_not_changed() -> None:
    config = replace(AUTO, response_format="json_schema", token_field="max_tokens")
    assert adapted(FULL, config, body(config), "response_format is not supported") is None
    assert adapted(FULL, config, body(config), "use max_completion_tokens not max_tokens") is None
    seeded = replace(AUTO, extra_body={"seed": 3})
    assert adapted(FULL, seeded, body(seeded), "unknown field seed") is None


def test_null_and_drop_leave_fields_out() -> None:
    config = replace(AUTO, extra_body={"seed": None, "top_k": 1}, drop=("temperature",))
    sent = body(config, configured(config))
    assert "seed" not in sent and "temperature" not in sent
    assert sent["top_k"] == 1


def test_the_schema_stands_in_words_where_none_is_sent() -> None:
    sent = body(dialect=replace(FULL, response_format="none"))
    assert "response_format" not in sent
    assert '"enum":["yes","no"]' in sent["messages"][0]["content"]


def test_schemas_are_sent_bare() -> None:
    def keywords(schema: Any) -> set[str]:
        if isinstance(schema, dict):
            return set(schema) | {k for value in schema.values() for k in keywords(value)}
        return {k for item in schema for k in keywords(item)} if isinstance(schema, list) else set()

    for stage, count in (("caption", 0), ("regions", 10), ("negatives", 10), ("verify", 12)):
        sent = keywords(reply_schema(stage, count).value)
        assert not sent & {"$schema", "title", "description", "minLength", "maxLength", "maxItems"}


@pytest.mark.parametrize(
    ("words", "tokens"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 "
            "tokens (1000 in the messages, 4000 in the completion).",
            3096,
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum "
            "context length is 2048 tokens and your request has 100 input tokens",
            1948,
        ),
        (
            "You passed 3500 input tokens and requested 4000 output tokens. However, the model's "
            "context length is only 4096 tokens",
            596,
        ),
        ("max_tokens is too large: 4000. This model supports at most 1024 completion tokens", 1024),
        ("max_tokens: 4000 > 2000, which is the maximum allowed number of output tokens", 2000),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted "
            "in 9000 tokens.",
            0,
        ),
        ("request (5000 tokens) exceeds the available context size (4096 tokens)", 0),
        ("the context length is exceeded", 2000),
        ("Range of max_tokens should be [1, 2048]", 2048),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 3072]", 3072),
        ("max_tokens must be in range 1..1024", 1024),
        ("maxTokens: 4000 is out of range, must be <= 3072", 3072),
        ("The number of tokens to generate (max_tokens=4000) should not exceed 1024", 1024),
        ("max_tokens must be at most 1,024", 1024),
        ("max_tokens must be in the range [1,512]", 512),
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. "
            "Given: 1000 `inputs` tokens and 4000 `max_new_tokens`",
            1048,
        ),
        (
            "This model's maximum context length is 8192 tokens. However, you requested 4000 "
            "output tokens and your prompt contains at least 4193 input tokens",
            2000,
        ),
        ("the image could not be read", None),
    ],
)
def test_the_room_for_a_reply_is_read_from_a_refusal(words: str, tokens: int | None) -> None:
    assert room(words, 4000) == tokens


def test_room_always_shrinks() -> None:
    refusal = "This model's maximum context length is 9000 tokens (10 in the messages)"
    assert room(refusal, 50) == 49


@pytest.mark.parametrize(
    ("words", "images"),
    [
        ("At most 1 image(s) may be provided in one prompt.", 1),
        ("Too many images provided. This model supports up to 5 images", 5),
        ("bad request", None),
    ],
)
def test_the_number_of_images_is_read_from_a_refusal(words: str, images: int | None) -> None:
    assert images_allowed(words) == images


def test_servers_of_two_dialects_get_what_both_accept() -> None:
    one = replace(FULL, logprobs=5, left_out=("seed",))
    other = replace(FULL, response_format="json_object", token_field="max_completion_tokens")
    assert merged(one, other) == Dialect("json_object", 5, "max_completion_tokens", ("seed",))


def test_guesses_leave_out_one_thing_after_another() -> None:
    tried = guesses(FULL, AUTO, body())
    assert tried[0].logprobs == 0
    assert [guess.response_format for guess in tried[1:5]] == [
        "plain_schema", "object_schema", "json_object", "none",
    ]  # fmt: skip
    assert tried[5].left_out == ("seed", "temperature")


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", True),
        ("gemini-2.5-flash", "models/gemini-2.5-flash-001", True),
        ("llava", "llava:latest", True),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl-8b-instruct", True),
        ("tiny", "tiny@main", True),
        ("gpt-4.1", "gpt-4.1-mini", False),
        ("llama-3", "llama-3-70b", False),
        ("qwen2", "qwen2.5", False),
    ],
)
def test_a_model_may_answer_under_a_dated_name(asked: str, answered: str, same: bool) -> None:
    assert ModelConfig(model=asked).serves(answered) is same
    assert ModelConfig(model=asked, answers_as=(answered,)).serves(answered)
