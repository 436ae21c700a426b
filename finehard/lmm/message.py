"""What a chat response holds: the text of its reply, a refusal, an error, the tokens it reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

_CUT = frozenset(("length", "max_tokens", "model_length", "max_output_tokens"))
"""Values of finish_reason for a reply that was cut: OpenAI, Anthropic and Gemini, Mistral."""
_BLOCKED = frozenset(
    (
        "content_filter",
        "safety",
        "prohibited_content",
        "blocklist",
        "recitation",
        "sensitive",
        "guardrail_intervened",
        "refusal",
    )
)
"""Values of finish_reason for a reply that was withheld: OpenAI and Azure, Gemini, Zhipu, Bedrock,
Anthropic."""
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields of a message with its reasoning: vLLM and DeepSeek, vLLM and OpenRouter, Ollama,
OpenRouter."""
_TEXT_TYPES = frozenset(("text", "output_text", "reasoning.text"))
_STATUS = {
    "rate_limit": 429,
    "resource_exhausted": 429,
    "too many requests": 429,
    "overloaded": 503,
    "unavailable": 503,
    "insufficient_quota": 402,
    "insufficient credit": 402,
    "insufficient_credit": 402,
    "insufficient balance": 402,
    "exceeded your current quota": 402,
    "billing": 402,
    "invalid_api_key": 401,
    "authentication": 401,
    "unauthenticated": 401,
    "permission": 403,
    "not_found": 404,
    "invalid_request": 400,
    "invalid_argument": 400,
    "context_length": 400,
    "badrequest": 400,
    "timeout": 504,
}
"""Part of an error's code, type or status -> the HTTP status that it would have been sent with."""


def content(reply: dict[str, Any]) -> tuple[str, bool]:
    """Returns the text of a reply ("" if there is none) and whether max_tokens truncated it.

    Text parts are joined. Without text, the arguments of a tool call are the reply, then the value
    that the server parsed, and then what a whole reply has as its reasoning: some servers put
    constrained JSON there.
    """
    choice = _choice(reply)
    truncated = str(choice.get("finish_reason")).lower() in _CUT
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        return text if isinstance(text, str) else "", truncated
    text = _text(message.get("content"))
    if not text.strip():
        text = next(_arguments(message), text)
    for name in ("parsed",) if truncated else ("parsed", *_REASONING):
        if not text.strip():
            text = _text(message.get(name) or "")
    return text, truncated


def refusal(reply: dict[str, Any]) -> str | None:
    """Returns why the model or the server's filter did not answer; None if nothing says so."""
    choice = _choice(reply)
    message = choice.get("message")
    if isinstance(message, dict):
        parts = message.get("content")
        for part in [message, *(parts if isinstance(parts, list) else ())]:
            words = part.get("refusal") if isinstance(part, dict) else None
            if isinstance(words, str) and words.strip():
                return _line(words)
    if str(choice.get("finish_reason")).lower() in _BLOCKED:
        return f"finish_reason {choice['finish_reason']}"
    return None if choice else _blocked_prompt(reply)


def _blocked_prompt(reply: dict[str, Any]) -> str | None:
    """Returns why a response has no choices, if that is what its prompt's filter found."""
    feedback = reply.get("promptFeedback") or reply.get("prompt_feedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return f"the prompt was blocked: {_line(feedback['blockReason'])}"
    failed = reply.get("error")
    if isinstance(failed, dict) and failed.get("code") == "content_filter":
        return _line(failed.get("message") or "content_filter")
    return "the prompt was filtered" if reply.get("prompt_filter_results") else None


def error(reply: Any) -> tuple[int, str] | None:
    """Returns the HTTP status and the words of an error in a response that was sent with 200.

    The status is 500 where none is named. A response without choices is an error, unless it is a
    `refusal`. None if the response is none.
    """
    if isinstance(reply, list) and reply:  # Gemini's endpoint
        reply = reply[0]
    if not isinstance(reply, dict):
        return 500, "the response is not a JSON object"
    choice = _choice(reply)
    if not choice and refusal(reply):
        return None
    failed = reply.get("error") or choice.get("error")
    if failed:
        return _error(failed)
    if reply.get("object") == "error":  # vLLM, older
        return _error(reply)
    if choice.get("finish_reason") == "error":
        return 500, "finish_reason error"
    if not choice:
        detail = reply.get("detail") or reply.get("message")
        return 500, _line(detail) if detail else "the response has no choices"
    return None


def token_counts(reply: dict[str, Any]) -> tuple[int, int]:
    """Returns the reported numbers of prompt and completion tokens; 0 if not reported."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    return _token_count(usage.get("prompt_tokens")), _token_count(usage.get("completion_tokens"))


def _token_count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 40 else 0


def _choice(reply: Any) -> dict[str, Any]:
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}


def _text(content: Any) -> str:
    """Returns the text of a message's content: a string, parts, or JSON that is parsed already."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    return orjson.dumps(content).decode() if isinstance(content, dict) else ""


def _part(part: Any) -> str:
    if isinstance(part, dict):
        kind = part.get("type", "text")
        known = isinstance(kind, str) and kind in _TEXT_TYPES and not part.get("thought")
        part = part.get("text") if known else None
    return part if isinstance(part, str) else ""


def _arguments(message: dict[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    functions = [message.get("function_call")]
    for call in calls if isinstance(calls, list) else ():
        functions.append(call.get("function") if isinstance(call, dict) else None)
    for function in functions:
        text = _text(function.get("arguments")) if isinstance(function, dict) else ""
        if text.strip():
            yield text


def _error(found: Any) -> tuple[int, str]:
    if not isinstance(found, dict):
        return _status([found]) or 500, _line(found)
    names = [found.get(name) for name in ("code", "status", "status_code", "type")]
    words = [found.get("message") or found.get("detail") or next(filter(None, names), None)]
    metadata = found.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # OpenRouter: what its provider said
        words.append(metadata["raw"])
    return _status(names) or 500, _line(": ".join(str(w) for w in words if w) or "no message")


def _status(names: list[Any]) -> int | None:
    for name in names:
        text = str(name)[:100].lower()
        if text.isascii() and text.isdigit() and 400 <= int(text) <= 599:
            return int(text)
    for name in names:
        text = str(name)[:100].lower()
        for part, status in _STATUS.items():
            if part in text:
                return status
    return None


def _line(words: Any) -> str:
    return " ".join(str(words)[:2000].split())[:300]
