"""What a chat response holds: the text of its reply, and the tokens that it reports."""

from __future__ import annotations

from typing import Any


def content(reply: dict[str, Any]) -> tuple[str, bool]:
    """Returns the text of a reply ("" if there is none) and whether max_tokens truncated it."""
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
        return text if isinstance(text, str) else "", choice.get("finish_reason") == "length"
    except (KeyError, IndexError, TypeError):
        return "", False


def token_counts(reply: dict[str, Any]) -> tuple[int, int]:
    """Returns the reported numbers of prompt and completion tokens; 0 if not reported."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    return _token_count(usage.get("prompt_tokens")), _token_count(usage.get("completion_tokens"))


def _token_count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 40 else 0


def error(reply: dict[str, Any]) -> tuple[int, str] | None:
    """Returns status and words of an error that a server reports in a 200; None if it is none."""
    failed = reply.get("error")
    if not failed:
        return None
    if not isinstance(failed, dict):
        return 500, str(failed)
    code = str(failed.get("code"))
    status = int(code) if code.isdigit() else 500
    return status, str(failed.get("message") or failed)
