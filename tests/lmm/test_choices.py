"""The probability of yes, computed from a reply's log-probabilities."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.lmm.choices import probabilities

YES_NO = ("yes", "no")


def _choice(*tokens: tuple[str, dict[str, float]]) -> dict[str, Any]:
    """Returns a server's choice of `tokens`, each with the probabilities of its alternatives."""
    content = []
    for token, others in tokens:
        result = [{"token": o, "logprob": math.log(p)} for o, p in others.items()]
        content.append(
            {"token": token, "logprob": math.log(others.get(token, 1.0)), "top_logprobs": result}
        )
    return {"logprobs": {"content": content}}


def _probabilities(text: str, choice: dict[str, Any]) -> dict[str, float]:
    return probabilities(json.loads(text), YES_NO, text, choice)


@pytest.mark.parametrize("cut", [
    ['{"1": "', "yes", '", "2": "', "no", '"}'],
    ['{"1":', ' "yes', '", "2":', ' "no', '"}'],
    ['{"', "1", '": "', "yes", '", "', "2", '": "', "no", '"', "}"],
    ['{"1": "', "y", 'es", "2": "', "n", 'o"}'],
])  # fmt: skip
def test_the_first_token_of_a_word_decides(cut: list[str]) -> None:
    def others(token: str) -> dict[str, float]:
        for word, other in (("yes", "no"), ("no", "yes"), ("y", "n"), ("n", "y")):
            if token.endswith(word) and token not in ("{",):
                head = token[: -len(word)]
                return {token: 0.6, head + other: 0.2, "unrelated": 0.2}
        return {token: 1.0}

    result = _probabilities("".join(cut), _choice(*((token, others(token)) for token in cut)))
    assert result == {"1": 0.75, "2": 0.25}


def test_tokens_after_the_reply_are_ignored() -> None:
    choice = _choice(('{"1": "', {}), ("no", {"no": 0.9, "yes": 0.1}), ('"}', {}), ("<end>", {}))
    assert _probabilities('{"1": "no"}', choice) == {"1": 0.1}


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"logprobs": None},
        {"logprobs": {"content": None}},
        {"logprobs": {"content": [{"token": "other text", "logprob": -1.0}]}},
        {"logprobs": {"content": [{"token": 3}]}},
    ],
)
def test_without_logprobs_the_word_itself_decides(choice: dict[str, Any]) -> None:
    assert _probabilities('{"1": "yes", "2": "no"}', choice) == {"1": 1, "2": 0}


@given(
    st.dictionaries(st.text(max_size=5), st.sampled_from(YES_NO), max_size=4),
    st.recursive(
        st.none() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["token", "logprob", "content", "top_logprobs"]), inner
            )
        ),
        max_leaves=8,
    ),
)
def test_any_server_response_gives_valid_probabilities(value: dict[str, str], said: Any) -> None:
    result = probabilities(value, YES_NO, json.dumps(value), {"logprobs": said})
    assert result.keys() == value.keys()
    assert all(0.0 <= p <= 1.0 for p in result.values())
