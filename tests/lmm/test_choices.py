"""The probability of yes, computed from a reply's log-probabilities."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.lmm.choices import probabilities
from finehard.lmm.json_in_text import LONGEST

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


def _reported(*tokens: Any, **others: dict[str, float]) -> dict[str, Any]:
    """Returns a choice of `tokens`; those that `others` names have these alternatives."""
    return _choice(*((t, others.get(t.strip().strip('▁Ġ"'), {})) for t in tokens))


_SURE = {"yes": 0.75, "no": 0.25}
_SAME = '{"1": "yes"}'


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (_SAME, ['{"', "1", '":', '"', "yes", '"}']),
        (_SAME, ['{"1":', '▁"', "yes", '"}']),
        (_SAME, ['{"1":', 'Ġ"', "yes", '"}', "Ċ", "<|im_end|>"]),
        ('{\n  "1": "yes"\n}', ["{", '"1":', '"', "yes", '"', "}"]),
        ('{"1":"yes"}', ["{", "Ċ", '"1":', ' "', "yes", '"}']),
        (_SAME, ["<think>", "\n", '{"1": "', "no", '"}', "</think>", '{"1": "', "yes", '"}']),
        (_SAME, ['Is "1":"', "no", '"?', "\n\n", '{"1": "', "yes", '"}', "</s>", "</s>"]),
        (f"<think>\n</think>\n\n```json\n{_SAME}\n```", ['```json\n{"1": "', "yes", '"}\n```']),
        ('Here: {"01": "yes"}.', ['Here: {"01": "', "yes", '"}', "."]),
        ('["yes"]', ['["', "yes", '"]']),
        ('{"answers": ["yes"]}', ['{"answers": ["', "yes", '"]}']),
        ('{"1": {"answer": "yes"}}', ['{"1": {"answer": "', "yes", '"}}']),
    ],
)
def test_tokens_are_aligned_from_the_end_without_white_space(text: str, tokens: list[str]) -> None:
    choice = _reported(*tokens, yes=_SURE)
    assert probabilities({"1": "yes"}, YES_NO, text, choice) == {"1": 0.75}


def test_tokens_are_read_from_their_bytes() -> None:
    text = '{"näme": "a", "1": "yes"}'
    pieces = [b'{"n', b"\xc3", b"\xa4", b'me": "a", "1": "', b"yes", b'"}']
    choice = _choice(*((f"<0x{n}>", {}) for n in range(6)))
    for token, piece in zip(choice["logprobs"]["content"], pieces, strict=True):
        token["bytes"] = list(piece)
        token["top_logprobs"] = []
    choice["logprobs"]["content"][4]["top_logprobs"] = [
        {"token": "▁yes", "bytes": list(b" yes"), "logprob": math.log(0.6)},
        {"token": "<0x4>", "bytes": list(b"yes"), "logprob": math.log(0.15)},
        {"token": "▁no", "bytes": list(b" no"), "logprob": math.log(0.25)},
    ]
    assert probabilities({"1": "yes"}, YES_NO, text, choice) == {"1": 0.75}


def test_words_in_any_case_count_towards_their_word() -> None:
    others = {"yes": 0.1, "Yes": 0.2, " YES": 0.1, "no": 0.1, "No": 0.1, "NO": 0.2, "none": 0.2}
    assert probabilities({"1": "yes"}, YES_NO, _SAME, _reported('{"1": "', "yes", '"}', yes=others)
    ) == {"1": 0.5}  # fmt: skip


def test_words_of_another_form_are_read() -> None:
    choice = _reported('{"1": "', "Yes", '."}', Yes={"Yes": 0.6, "No": 0.2})
    assert probabilities({"1": "yes"}, YES_NO, '{"1": "Yes."}', choice) == {"1": 0.75}
    choice = _reported('{"1":', " false", "}", false={" true": 0.2, " false": 0.6})
    assert probabilities({"1": "no"}, YES_NO, '{"1": false}', choice) == {"1": 0.25}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"yes": 0.9}, 0.95),  # the other one has at most 0.1: between 0.9 and 1
        ({"yes": 0.6, "maybe": 0.2}, 0.875),  # at most 0.2: between 0.75 and 1
        ({"yes": 0.9, "maybe": 0.0999}, 0.9999),
        ({"yes": 0.9, "maybe": 0.1}, 1.0),  # nothing is left
        ({"yes": 0.0001, "true": 0.5, "1": 0.3}, 0.5002),
        ({"yes": 1e-9, "true": 0.5, "1": 0.3}, 0.5001),
    ],
)
def test_the_other_word_is_bounded_by_the_least_reported(
    others: dict[str, float], expected: float
) -> None:
    choice = _reported('{"1": "', "yes", '"}', yes=others)
    read = probabilities({"1": "yes"}, YES_NO, _SAME, choice)["1"]
    assert read == pytest.approx(expected, abs=0.0002) and read > 0.5
    swapped = {"no" if word == "yes" else word: p for word, p in others.items()}
    choice = _reported('{"1": "', "no", '"}', no=swapped)
    read = probabilities({"1": "no"}, YES_NO, '{"1": "no"}', choice)["1"]
    assert read == pytest.approx(1 - expected, abs=0.0002) and read < 0.5


def test_a_token_below_the_top_ones_does_not_set_the_bound() -> None:
    choice = _choice(('{"1": "', {}), ("yes", {"Yes": 0.5, "1": 0.2, "yes": 0.01}), ('"}', {}))
    assert probabilities({"1": "yes"}, YES_NO, _SAME, choice) == {"1": 0.8592}  # 0.51 / 0.71
    del choice["logprobs"]["content"][1]["top_logprobs"][2]
    assert probabilities({"1": "yes"}, YES_NO, _SAME, choice) == {"1": 0.8592}


def test_columns_of_log_probabilities_are_read() -> None:
    tops = [{}, {"yes": math.log(0.6), "no": math.log(0.2)}, None]
    logprobs = {
        "tokens": ['{"1": "', "yes", '"}'],
        "token_logprobs": [-0.1, math.log(0.6), None],
        "top_logprobs": tops,
    }
    assert probabilities({"1": "yes"}, YES_NO, _SAME, {"logprobs": logprobs}) == {"1": 0.75}


@pytest.mark.parametrize(
    "tokens",
    [
        ['{"1": "', "no", '"}'],
        ['{"2": "', "yes", '"}'],
        ['{"1": "'],
        [],
        ["yes"],
    ],
)
def test_a_word_that_cannot_be_read_is_an_int(tokens: list[str]) -> None:
    for word, number in (("yes", 1), ("no", 0)):
        text = f'{{"1": "{word}"}}'
        choice = _reported(*tokens, yes=_SURE) if word == "yes" else {"logprobs": {"content": []}}
        read = probabilities({"1": word}, YES_NO, text, choice)["1"]
        assert type(read) is int and read == number


def test_a_probability_that_is_read_is_a_float() -> None:
    choice = _reported('{"1": "', "yes", '"}', yes={"yes": 1.0, "no": 1e-30})
    read = probabilities({"1": "yes"}, YES_NO, _SAME, choice)["1"]
    assert type(read) is float and read == 1.0


def test_only_the_entries_of_the_value_are_read() -> None:
    text = '{"1": "yes", "2": "maybe", "3": "no"}'
    choice = _reported('{"1": "', "yes", '", "2": "maybe", "3": "', "no", '"}', yes=_SURE,
                       no={"yes": 0.2, "no": 0.6})  # fmt: skip
    read = probabilities({"1": "yes", "3": "no"}, YES_NO, text, choice)
    assert read == {"1": 0.75, "3": 0.25}


@pytest.mark.parametrize("part", ['"1": "yes", ', '"', '"1":', "[", ',"yes"', '{"a":{', " "])
def test_hostile_text_is_read_in_linear_time(part: str) -> None:
    text = part * (LONGEST // len(part)) + _SAME
    choice = _reported(text[:-6], "yes", '"}', yes=_SURE)

    def seconds() -> float:
        started = time.process_time()
        probabilities({"1": "yes"}, YES_NO, text, choice)
        return time.process_time() - started

    assert min(seconds() for _ in range(3)) < 0.05
