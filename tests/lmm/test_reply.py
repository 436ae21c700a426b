"""Parsing of replies: what is accepted, and the errors for everything else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.lmm.reply import InvalidReply, parse_reply
from finehard.schemas import ReplySchema, reply_schema
from tests.lmm.conftest import SCHEMA

ANY = ReplySchema({})

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_wild = (
    st.text()
    | st.text(alphabet='{}[]",:`\\\n json01-eE.unltrfas\u2028\ud800\x00')
    | _json.map(json.dumps)
    | _json.map(lambda value: f"```json\n{json.dumps(value)}\n```")
    | st.integers(1, 5000).map(lambda depth: "[" * depth + "]" * depth)
    | st.integers(1, 5000).map(lambda digits: "9" * digits)
)


@given(_wild)
def test_any_text_is_a_valid_value_or_a_one_line_error(text: str) -> None:
    for schema in (SCHEMA, ANY, reply_schema("negatives"), reply_schema("caption")):
        try:
            value = parse_reply(text, schema)
        except InvalidReply as error:
            assert str(error) and "\n" not in str(error) and len(str(error)) < 400
        else:
            assert schema.why_invalid(value) is None
            json.dumps(value).encode()  # can be saved: no lone surrogates


@given(st.dictionaries(st.text(), st.booleans(), max_size=3))
def test_a_markdown_fence_is_ignored(value: dict[str, bool]) -> None:
    try:
        text = json.dumps(value)
        text.encode()
    except UnicodeError:
        return
    for fenced in (text, f"```json\n{text}\n```", f"\n```\n{text}```\n", f"  ```json  \n{text}```"):
        assert parse_reply(fenced, ANY) == value


@pytest.mark.parametrize("part", ["```", "\n", "```\n", "```\n \n", "\n```json\n"])
def test_a_megabyte_of_fences_parses_in_linear_time(part: str) -> None:
    text = "```\n" + part * (1_000_000 // len(part)) + "x"
    started = time.process_time()
    with pytest.raises(InvalidReply, match="not JSON"):
        parse_reply(text, SCHEMA)
    assert time.process_time() - started < 0.05


@pytest.mark.parametrize(
    "text", ['{"a":\n"two\nlines"}', '{"a": "two\tlines"}', '{"a": "two\x00lines"}']
)
def test_control_characters_in_strings_are_white_space(text: str) -> None:
    assert parse_reply(text, ANY) == {"a": "two lines"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the reply is empty"),
        ("\n \t", "the reply is empty"),
        ("```json\n```", "not JSON"),
        ('Sure! {"ok": true}', "not JSON"),
        ('{"ok": true} {"ok": true}', "not JSON"),
        ('{"ok": NaN}', "not JSON"),
        ('{"ok": "\\ud800"}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("null", "must be object"),
        ('{"ok": 1}', "reply.ok must be boolean"),
        ("{}", "must contain"),
    ],
)
def test_the_error_names_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidReply, match=why):
        parse_reply(text, SCHEMA)


def test_only_the_requested_numbers_are_accepted() -> None:
    two = reply_schema("regions", 2)
    assert two.why_invalid({"1": "a", "2": "b"}) is None
    assert "'2'" in (two.why_invalid({"1": "a"}) or "")
    assert "'3'" in (two.why_invalid({"1": "a", "2": "b", "3": "c"}) or "")
    assert two.why_invalid({"1": "a", "2": ""}) is not None
    assert two is reply_schema("regions", 2)
    assert two.digest != reply_schema("regions", 3).digest
