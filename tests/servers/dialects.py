"""The dialects of the OpenAI protocol that people meet, each as strict as the real server.

Bodies of errors are as those servers word them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.servers.asked import Asked
from tests.servers.server import Dialect, Response

_CHAT = frozenset({"model", "messages", "max_tokens", "temperature", "response_format", "top_p",
                   "stop", "n", "stream"})  # fmt: skip
_OPENAI = _CHAT | {"max_completion_tokens", "seed", "logprobs", "top_logprobs", "user", "metadata",
                   "reasoning_effort", "frequency_penalty", "presence_penalty"}  # fmt: skip

Rule = Callable[[Asked], Response | None]


def _first(*rules: Rule) -> Callable[[Asked, int], Response | None]:
    """Refuses with what the first rule that matches says."""

    def refuse(asked: Asked, number: int) -> Response | None:
        return next((said for rule in rules if (said := rule(asked))), None)

    return refuse


def _openai_error(message: str, param: str | None, code: str | None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return 400, {"error": error}


def _openai_fields(asked: Asked) -> Response | None:
    unknown = asked.form.keys() - {"type", "json_schema"}
    for name in [*sorted(asked.body.keys() - _OPENAI), *(f"response_format.{n}" for n in unknown)]:
        return _openai_error(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if (asked.body.get("top_logprobs") or 0) > 20:
        said = "Invalid value for 'top_logprobs': must be less than or equal to 20."
        return _openai_error(said, "top_logprobs", "invalid_value")
    if "top_logprobs" in asked.body and not asked.body.get("logprobs"):
        said = "Invalid value for 'top_logprobs': 'logprobs' must be set to true."
        return _openai_error(said, "top_logprobs", None)
    return None


def _openai_schema(asked: Asked) -> Response | None:
    form = asked.form.get("json_schema") or {}
    if asked.form.get("type") == "json_schema" and not form.get("name"):
        said = "Missing required parameter: 'response_format.json_schema.name'."
        return _openai_error(said, "response_format.json_schema.name", "missing_required_parameter")
    if not form.get("strict"):
        return None
    for part in _objects(asked.schema):
        if part.get("additionalProperties") is not False:
            said = "'additionalProperties' is required to be supplied and to be false."
            said = f"Invalid schema for response_format '{form['name']}': In context=(), {said}"
            return _openai_error(said, "response_format", None)
    return None


def _reasoning(asked: Asked) -> Response | None:
    """What the models since o1 and gpt-5 do not take."""
    if "max_tokens" in asked.body:
        said = ("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.")  # fmt: skip
        return _openai_error(said, "max_tokens", "unsupported_parameter")
    if asked.body.get("temperature", 1) != 1:
        said = (f"Unsupported value: 'temperature' does not support {asked.body['temperature']} "
                "with this model. Only the default (1) value is supported.")  # fmt: skip
        return _openai_error(said, "temperature", "unsupported_value")
    if asked.body.get("logprobs"):
        return 403, {"error": {"message": "You are not allowed to request logprobs from this model",
                               "type": "invalid_request_error", "param": None,
                               "code": None}}  # fmt: skip
    return None


def _content_filter(asked: Asked) -> Response | None:
    """One of Azure's filters finds fault with the pictures that have a very bright pixel at the
    top left: see `tests.servers.test_dialects`."""
    if asked.stage != "caption" or not _is_marked(asked):
        return None
    said = ("The response was filtered due to the prompt triggering Azure OpenAI's content "
            "management policy. Please modify your prompt and retry.")  # fmt: skip
    severity = {"violence": {"filtered": True, "severity": "medium"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": severity}
    return 400, {"error": {"message": said, "type": None, "param": "prompt",
                           "code": "content_filter", "status": 400,
                           "innererror": inner}}  # fmt: skip


MARKED = (123, 45)
"""The size of the picture that Azure's content filter refuses."""


def _is_marked(asked: Asked) -> bool:
    return MARKED in asked.sizes


def _gemini(asked: Asked) -> Response | None:
    """It lists everything that it does not know, in a body that is a list."""
    known = _CHAT | {"max_completion_tokens", "reasoning_effort"}
    unknown = [(name, "") for name in sorted(asked.body.keys() - known)]
    at = " at 'generation_config.response_schema'"
    for part in _parts(asked.schema):
        unknown += [(name, at) for name in ("$schema", "additionalProperties") if name in part]
    if not unknown:
        return None
    said = "\n".join(
        f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
        for name, where in unknown
    )
    return 400, [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}]


def _mistral(asked: Asked) -> Response | None:
    extra = sorted(asked.body.keys() - _CHAT - {"random_seed", "safe_prompt"})
    if not extra:
        return None
    found = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted",
         "input": asked.body[name]}
        for name in extra
    ]  # fmt: skip
    return 422, {"object": "error", "message": {"detail": found}, "type": "invalid_request_error",
                 "param": None, "code": None}  # fmt: skip


def _groq(asked: Asked) -> Response | None:
    if asked.body.get("logprobs"):
        return _openai_error("`logprobs` is not supported with this model", None, None)
    if asked.form.get("type") == "json_schema":
        said = "This model does not support response format `json_schema`."
        return _openai_error(said, "response_format", None)
    if "schema" in asked.form:
        said = "Unknown parameter: 'response_format.schema'."
        return _openai_error(said, "response_format.schema", "unknown_parameter")
    if len(asked.images) > 5:
        said = "Too many images provided. This model supports up to 5 images"
        return _openai_error(said, "messages", None)
    return None


def _openrouter(asked: Asked, number: int) -> Response | None:
    """Errors of the providers behind it come with status 200, in three forms."""
    error = {"code": 429, "message": "Provider returned error",
             "metadata": {"provider_name": "Chutes", "raw": "rate-limited upstream"}}  # fmt: skip
    if number % 17 == 3:
        return 200, {"error": error, "user_id": "user_1"}
    if number % 17 == 6:
        failed = {"code": 502, "message": "Provider returned error"}
        choice = {"index": 0, "message": {"role": "assistant", "content": ""},
                  "finish_reason": "error", "error": failed}  # fmt: skip
        return 200, {"model": asked.body["model"], "choices": [choice]}
    if number % 17 == 9:
        return 200, {"model": asked.body["model"], "choices": []}
    return None


def _in_prose(asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
    """No response format: the JSON stands in a fence, between sentences; no log-probabilities."""
    choice = body["choices"][0]
    said = choice["message"]["content"]
    if asked.stage is not None:
        said = f"Here is what I can see:\n\n```json\n{said}\n```\n\nLet me know if you need more!"
    choice["message"]["content"] = said
    choice["logprobs"] = None
    return body


def _anthropic(asked: Asked) -> Response | None:
    if not asked.max_tokens:
        return 400, {"error": {"message": "max_tokens: Field required",
                               "type": "invalid_request_error"}}  # fmt: skip
    return None


def _llamacpp_grammar(asked: Asked) -> Response | None:
    for part in _parts(asked.schema):
        if any(part.get(name, 0) >= 2000 for name in ("maxLength", "minLength", "maxItems")):
            said = "Failed to initialize samplers: failed to parse grammar"
            return 400, {"error": {"code": 400, "message": said, "type": "invalid_request_error"}}
    return None


def _llamacpp_context(limit: int) -> Rule:
    def rule(asked: Asked) -> Response | None:
        if asked.prompt_tokens < limit:
            return None
        said = "the request exceeds the available context size. try increasing the context size"
        return 400, {"error": {"code": 400, "message": said, "type": "exceed_context_size_error",
                               "n_prompt_tokens": asked.prompt_tokens, "n_ctx": limit}}  # fmt: skip

    return rule


def _llamacpp_python(asked: Asked) -> Response | None:
    """The server of llama-cpp-python, whose refusals come as failures of its own."""
    if asked.form.get("type", "text") not in ("text", "json_object"):
        found = {"type": "literal_error", "loc": ("body", "response_format", "type"),
                 "msg": "Input should be 'text' or 'json_object'", "input": "json_schema",
                 "ctx": {"expected": "'text' or 'json_object'"}}  # fmt: skip
        return _internal(f"1 validation error:\n  {found}\n")
    if asked.body.get("logprobs"):
        return _internal("logprobs is not supported for models created with logits_all=False")
    prompt, reply, limit = asked.prompt_tokens, asked.max_tokens, 4096
    if prompt + reply <= limit:
        return None
    said = (f"This model's maximum context length is {limit} tokens, however you requested "
            f"{prompt + reply} tokens ({prompt} in your prompt; {reply} for the completion). "
            "Please reduce your prompt; or completion length.")  # fmt: skip
    return _openai_error(said, "messages", "context_length_exceeded")


def _internal(message: str) -> Response:
    return 500, {"error": {"message": message, "type": "internal_server_error", "param": None,
                           "code": None}}  # fmt: skip


def _bad_request(message: str) -> Response:
    return 400, {"error": {"message": message, "type": "BadRequestError", "param": None,
                           "code": 400}}  # fmt: skip


def _vllm_context(limit: int) -> Rule:
    def rule(asked: Asked) -> Response | None:
        prompt, reply = asked.prompt_tokens, asked.max_tokens
        if prompt >= limit:
            return _bad_request(
                f"This model's maximum context length is {limit} tokens. However, your request has "
                f"{prompt} input tokens. Please reduce the length of the input messages."
            )
        if prompt + reply > limit:
            return _bad_request(
                f"'max_tokens' or 'max_completion_tokens' is too large: {reply}. This model's "
                f"maximum context length is {limit} tokens and your request has {prompt} input "
                f"tokens ({reply} > {limit} - {prompt})."
            )
        return None

    return rule


def _vllm_images(most: int) -> Rule:
    def rule(asked: Asked) -> Response | None:
        if len(asked.images) <= most:
            return None
        return _bad_request(f"At most {most} image(s) may be provided in one prompt.")

    return rule


def _qwen_sizes(asked: Asked) -> Response | None:
    for width, height in asked.sizes:
        if min(width, height) < 32:
            return _bad_request(f"height:{height} or width:{width} must be larger than factor:32")
        if max(width, height) / min(width, height) > 200:
            return _bad_request("absolute aspect ratio must be smaller than 200")
    return None


def _sglang(asked: Asked) -> Response | None:
    limit, total = 4096, asked.prompt_tokens + asked.max_tokens
    if total < limit:
        return None
    said = (f"Requested token count exceeds the model's maximum context length of {limit} tokens. "
            f"You requested a total of {total} tokens: {asked.prompt_tokens} tokens from the input "
            f"messages and {asked.max_tokens} tokens for the completion.")  # fmt: skip
    return 400, {"object": "error", "message": said, "type": "BadRequestError", "param": None,
                 "code": 400}  # fmt: skip


def _lmstudio(asked: Asked) -> Response | None:
    if asked.form.get("type", "json_schema") not in ("json_schema", "text"):
        return 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}
    return None


def _without_logprobs(asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
    del body["choices"][0]["logprobs"]
    return body


def _text_only(asked: Asked) -> Response | None:
    if not asked.images:
        return None
    return _bad_request(f"{asked.body['model']} is not a multimodal model")


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all schemas in it."""
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from _parts(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _parts(inner)


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    return (part for part in _parts(schema) if part.get("type") == "object")


OPENAI = Dialect(
    "openai", _first(_openai_fields, _openai_schema), model="gpt-4.1-mini",
    served="gpt-4.1-mini-2025-04-14", models=("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
    key="sk-strict",
)  # fmt: skip
VLLM = Dialect("vllm", _first(_qwen_sizes, _vllm_images(16), _vllm_context(32768)))
TEXT_ONLY = Dialect(
    "text-only", _first(_text_only), model="llama-3.1-8b", models=("llama-3.1-8b",)
)  # fmt: skip

DIALECTS = (
    OPENAI,
    Dialect(
        "openai-reasoning", _first(_openai_fields, _openai_schema, _reasoning), model="gpt-5-mini",
        served="gpt-5-mini-2025-08-07", models=("gpt-5-mini",), key="sk-strict",
    ),
    replace(
        OPENAI, name="azure", refuse=_first(_openai_fields, _openai_schema, _content_filter),
    ),
    Dialect(
        "gemini", _first(_gemini), model="gemini-2.5-flash", models=("models/gemini-2.5-flash",),
        key="sk-strict",
    ),
    Dialect(
        "mistral", _first(_mistral), model="pixtral-12b-latest", served="pixtral-12b-2409",
        models=("pixtral-12b-latest", "pixtral-12b-2409"), key="sk-strict",
    ),
    Dialect("groq", _first(_groq), model="qwen/qwen3-vl-32b", models=("qwen/qwen3-vl-32b",)),
    Dialect("openrouter", _openrouter, model="qwen/qwen2.5-vl-72b-instruct:free",
            served="qwen/qwen2.5-vl-72b-instruct", models=("qwen/qwen2.5-vl-72b-instruct:free",)),
    Dialect("anthropic", _first(_anthropic), _in_prose, model="claude-sonnet-4-5",
            served="claude-sonnet-4-5-20250929", models=("claude-sonnet-4-5-20250929",)),
    Dialect("llama.cpp", _first(_llamacpp_grammar, _llamacpp_context(1536))),
    Dialect("llama-cpp-python", _first(_llamacpp_python)),
    Dialect("ollama", reply=_without_logprobs, model="qwen2.5vl", served="qwen2.5vl",
            models=("qwen2.5vl:latest",)),
    Dialect("sglang", _first(_sglang)),
    Dialect("lmstudio", _first(_lmstudio), _without_logprobs),
    replace(VLLM, name="vllm-one-image", refuse=_first(_qwen_sizes, _vllm_images(1))),
    replace(VLLM, name="vllm-4096", refuse=_first(_qwen_sizes, _vllm_context(4096))),
    replace(VLLM, name="no-models-path", models=None),
    Dialect("transformers-serve", reply=_without_logprobs, served="qwen2.5-vl-7b@main", models=()),
)  # fmt: skip
"""Each as a server for all models of a build."""
