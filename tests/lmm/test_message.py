"""Refusals and errors inside a response of status 200."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.lmm.message import content, error, refusal, token_counts


def _said(message: Any = None, **fields: Any) -> dict[str, Any]:
    message = {"content": "{}"} if message is None else message
    return {"choices": [{"message": message, "finish_reason": "stop", **fields}]}


ERRORS: dict[str, tuple[Any, int, str]] = {
    "OpenRouter": ({"error": {"code": 429, "message": "Rate limit"}}, 429, "Rate limit"),
    "code as a word": ({"error": {"code": "503", "message": "x"}}, 503, "x"),
    "no code": ({"error": {"message": "out of memory"}}, 500, "out of memory"),
    "no message": ({"error": {"code": 402}}, 402, "402"),
    "a string": ({"error": "model is loading"}, 500, "model is loading"),
    "a string that names it": ({"error": "Rate_limit exceeded"}, 429, "Rate_limit exceeded"),
    "OpenAI: a type": ({"error": {"type": "insufficient_quota", "code": None, "message": "pay"}},
                       402, "pay"),
    "OpenAI: key": ({"error": {"code": "invalid_api_key", "message": "no"}}, 401, "no"),
    "OpenAI: length": ({"error": {"code": "context_length_exceeded", "message": "l"}}, 400, "l"),
    "Anthropic": ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
                  503, "Overloaded"),
    "Gemini": ([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}],
               429, "m"),
    "Gemini: status only": ({"error": {"status": "UNAVAILABLE", "message": "m"}}, 503, "m"),
    "Zhipu: own code": ({"error": {"code": "1302", "message": "m"}}, 500, "m"),
    "vLLM, older": ({"object": "error", "message": "bad", "type": "BadRequestError", "code": 400},
                    400, "bad"),
    "FastAPI": ({"detail": "Not here"}, 500, "Not here"),
    "beside choices": (_said({"content": None}) | {"error": {"code": 429, "message": "m"}},
                       429, "m"),
    "its provider's words": (
        {"error": {"code": 429, "message": "Provider returned error",
                   "metadata": {"raw": "error code: 1015", "provider_name": "K"}}},
        429, "Provider returned error: error code: 1015"),
    "in the choice": (_said(error={"code": 502, "message": "gone"}, finish_reason="error"),
                      502, "gone"),
    "in the finish reason": (_said(finish_reason="error"), 500, "finish_reason error"),
    "empty choices": ({"choices": []}, 500, "the response has no choices"),
    "no choices": ({"model": "m"}, 500, "the response has no choices"),
    "choices null": ({"choices": None}, 500, "the response has no choices"),
    "choice null": ({"choices": [None]}, 500, "the response has no choices"),
    "several lines": ({"error": "a\n b\tc"}, 500, "a b c"),
    "no object": ([], 500, "the response is not a JSON object"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "status", "words"), ERRORS.values(), ids=ERRORS)
def test_an_error_has_its_status_and_words(reply: Any, status: int, words: str) -> None:
    assert error(reply) == (status, words)


@pytest.mark.parametrize(
    "more", [{}, {"error": None}, {"error": ""}, {"error": {}}, {"error": False}, {"detail": "x"}]
)
def test_a_reply_is_no_error(more: dict[str, Any]) -> None:
    assert error({**_said(), **more}) is None and refusal({**_said(), **more}) is None


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "OpenAI": (_said({"content": None, "refusal": "I'm sorry,\nno."}), "I'm sorry, no."),
    "a part": (_said({"content": [{"type": "refusal", "refusal": "No."}]}), "No."),
    "Azure": (_said({"content": ""}, finish_reason="content_filter"), "content_filter"),
    "Gemini": (_said({"content": None}, finish_reason="SAFETY"), "SAFETY"),
    "Bedrock": (_said({"content": "No."}, finish_reason="guardrail_intervened"), "guardrail"),
    "Gemini: prompt": ({"promptFeedback": {"blockReason": "OTHER"}, "choices": []}, "OTHER"),
    "Azure: prompt": ({"choices": [], "prompt_filter_results": [{}]}, "filtered"),
    "Azure: error": ({"error": {"code": "content_filter", "message": "policy"}}, "policy"),
}


@pytest.mark.parametrize(("reply", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_no_error(reply: dict[str, Any], words: str) -> None:
    assert words in (refusal(reply) or "") and "\n" not in (refusal(reply) or "")
    assert error(reply) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "message", "content", "error", "code", "refusal", "usage", "type",
                     "finish_reason", "tool_calls", "function", "arguments", "reasoning", "text",
                     "promptFeedback", "blockReason", "metadata", "raw", "prompt_tokens"]
                ),
                inner,
            )
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_response_is_read_without_an_exception(reply: Any) -> None:
    found = error(reply)
    assert found is None or (400 <= found[0] <= 599 and found[1] and "\n" not in found[1])
    if isinstance(reply, dict):
        assert isinstance(content(reply)[0], str)
        assert refusal(reply) is None or "\n" not in str(refusal(reply))
        assert all(count >= 0 for count in token_counts(reply))
