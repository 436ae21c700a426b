"""Parsing of replies: what is accepted, and the errors for everything else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.lmm.json_in_text import LONGEST, LONGEST_LOOSE
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


SCHEMAS = (
    reply_schema("caption"),
    reply_schema("regions", 3),
    reply_schema("negatives", 3),
    reply_schema("negatives"),
    reply_schema("verify", 14),
)
HEADS = ("", "```\n", "<think>", '{"1":', '{"1": [', '{"1": "', "{'1': '", '{"x": {"1": {"y": ')
PARTS = (
    "```", "\n", " ", "\u00a0", "\x00", "[", "]", "{", "}", '"', "\\", "'", ",", "<", "1", "é", "“",
    "[]", "{}", "[[", "{{", '""', '\\"', "', '", '{"', '{"a":', '{"a":[', '{"":0,', '{"a":1e1,',
    "{a:", "{'a':", '{"1":"yes"}', '{"1":[{},', '{"1":{"1":', '[{"1":"yes"},', '["yes",',
    "{1:True,", '{"attribute":"color","original":"red","replacement":"blue"},', '"1": "yes", ',
    '{"\\', '😀{"', "<think>", "</think>", "<think></think>", "[THINK]", "<|channel|>final",
    "assistantfinal ",
)  # fmt: skip
TAILS = ("", "x", '"}', "}", "]}")


def _hostile(head: str, parts: list[str], tail: str, length: int) -> str:
    """Returns `parts` repeated in turn between `head` and `tail`, `length` characters in all."""
    unit = "".join(parts)
    room = length - len(head) - len(tail)
    return head + (unit * (room // len(unit) + 1))[:room] + tail


def _time(text: str, schema: ReplySchema) -> float:
    started = time.process_time()
    try:
        parse_reply(text, schema, partial=True)
    except InvalidReply as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    return time.process_time() - started


@pytest.mark.parametrize("length", [LONGEST_LOOSE, LONGEST, 1_000_000])
@pytest.mark.parametrize("part", PARTS)
def test_repeated_text_takes_linear_time(part: str, length: int) -> None:
    number = PARTS.index(part)
    head, schema = HEADS[number % len(HEADS)], SCHEMAS[number % len(SCHEMAS)]
    assert min(_time(_hostile(head, [part], "", length), schema) for _ in range(2)) < 0.05


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(HEADS),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6),
    st.sampled_from(TAILS),
    st.sampled_from([LONGEST_LOOSE, LONGEST, 1_000_000]),
    st.sampled_from(SCHEMAS),
)
def test_any_hostile_text_takes_linear_time(
    head: str, parts: list[str], tail: str, length: int, schema: ReplySchema
) -> None:
    text = _hostile(head, parts, tail, length)
    assert min(_time(text, schema) for _ in range(2)) < 0.05


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
        ("Sure!", "not JSON"),
        ('Sure! {"ok": 1}', "reply.ok must be boolean"),
        ('{"okay": 1} {"ok": 1}', "reply.ok must be boolean"),
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
