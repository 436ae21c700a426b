"""Replies as models and servers are reported to give them: what is read of each, what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.lmm.message import content
from finehard.lmm.reply import InvalidReply, RefusedInProse, parse_reply
from finehard.schemas import ReplySchema, reply_schema

CAPTION = {"short_caption": "a red mug", "long_caption": "a red mug on a table"}
DRAFT = '{"short_caption": "a draft", "long_caption": "a draft of it"}'
CAP = json.dumps(CAPTION)
PRETTY = json.dumps(CAPTION, indent=2)
OPENED = "<|channel|>analysis<|message|>The user wants {JSON}, such as "

CAPTIONS = {
    "as it is": CAP,
    "Claude: prose before": "Here is the JSON you asked for:\n\n" + PRETTY,
    "Claude: prose after": PRETTY + "\n\nLet me know if you'd like it longer!",
    "Gemma: fence": f"```json\n{PRETTY}\n```",
    "Llama: prose round a fence": f"Sure! Here's the caption:\n```\n{CAP}\n```\nIt's a mug.",
    "GPT: fence in capitals": f"```JSON\n{CAP}\n```",
    "GPT: fence of another name": f"~~~json5\n{CAP}\n~~~",
    "Mistral: fence on one line": f"```json {CAP} ```",
    "Gemma: fence left open": f"```json\n{CAP}",
    "Gemini: fence closed only": f"{CAP}\n```",
    "Gemini: fence in a fence": f"````markdown\n```json\n{CAP}\n```\n````",
    "one backtick": f"`{CAP}`",
    "Windows line ends": PRETTY.replace("\n", "\r\n"),
    "BOM": "\ufeff" + CAP,
    "zero-width spaces around": f"\u200b{CAP}\u200b",
    "non-breaking spaces inside": PRETTY.replace("  ", "\u00a0\u00a0"),
    "zero-width spaces inside": CAP.replace(', "', ', \u200b"').replace('{"', '{\u200b"'),
    "Qwen3: think": f"<think>\nA mug, it's red.\n</think>\n\n{CAP}",
    "Qwen3: empty think": f"<think>\n\n</think>\n\n{CAP}",
    "Qwen3: think was opened by the template": f"The mug is red.\n</think>\n\n{CAP}",
    "DeepSeek-R1: a draft in think": f"<think>Perhaps {DRAFT}?</think>{CAP}",
    "DeepSeek-R1: a draft before an unopened end": f"Perhaps {DRAFT}.</think>\n```json\n{CAP}```",
    "DeepSeek-R1: think twice": f"<think>{DRAFT}</think> hm <think>{DRAFT}</think>{CAP}",
    "think in think": f"<think>a <think>{DRAFT}</think> b</think>{CAP}",
    "think after the answer": f"{CAP}\n<think>was that right? {DRAFT}</think>",
    "think left open before the answer": f"<think>\nSo {DRAFT}?\n\n```json\n{PRETTY}\n```</s>",
    "think left open after another": f"<think>{DRAFT}</think><think>It is red. {CAP}",
    "think left open after the answer": f"{CAP}\n<think>was that right? {DRAFT}",
    "Claude: thinking": f"<thinking>{DRAFT}</thinking>\n<answer>\n{CAP}\n</answer>",
    "Seed-OSS": f"<seed:think>{DRAFT}</seed:think>{CAP}",
    "Magistral": f"[THINK]{DRAFT}[/THINK]{CAP}</s>",
    "Kimi-VL": f"◁think▷{DRAFT}◁/think▷{CAP}",
    "Cohere": f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{CAP}",
    "GLM-4.5V: box": f"<think>{DRAFT}</think><answer><|begin_of_box|>{CAP}<|end_of_box|></answer>",
    "gpt-oss: channels": f"{OPENED}{DRAFT}<|end|><|start|>assistant<|channel|>final"
    f"<|message|>{CAP}<|return|>",
    "gpt-oss: constrained": f"{OPENED}<|end|><|start|>assistant<|channel|>final "
    f"<|constrain|>json<|message|>{CAP}",
    "gpt-oss: special tokens skipped": f"analysisPerhaps {DRAFT}assistantfinal{CAP}",
    "Gemma 4": f"<|channel>thought\n{DRAFT}<channel|>{CAP}<turn|>",
    "LM Studio: synthetic mark": f"Okay. {DRAFT}\n"
    f"__LM_STUDIO_INTERNAL_LSEP_SYNTHETIC_REASONING_END_f4e9a8d2__{CAP}",
    "Qwen: stop token": CAP + "<|im_end|>",
    "Qwen: stop tokens": CAP + "<|im_end|>\n<|endoftext|>",
    "Llama 3: stop token": CAP + "<|eot_id|>",
    "Llama 2: stop token": f"<s> {CAP}</s>",
    "Gemma: stop tokens": CAP + "<end_of_turn><eos>",
    "Phi: stop token": CAP + "<|end|>",
    "DeepSeek: stop token": CAP + "<｜end▁of▁sentence｜>",
    "InternVL: stop token": CAP + "<|im_end|><|endoftext|><|endoftext|>",
    "Llama: role header": f"<|start_header_id|>assistant<|end_header_id|>\n\n{CAP}",
    "prose with braces": f"For {{x}} and {{}} and {{ y: 1 }}, set {CAP}",
    "prose with a quote": f'The sign says "hello {CAP}',
    "prose with brackets": f"[Note: see [1], ['a']] {CAP}",
    "Llama: schema repeated first": json.dumps(reply_schema("caption").full) + "\n" + CAP,
    "an object a key": '{"short_caption": "a red mug"}\n{"long_caption": "a red mug on a table"}',
    "Llama: values in the schema": json.dumps({"type": "object", "properties": CAPTION}),
    "Ollama: wrapped": json.dumps({"response": CAPTION}),
    "Gemini: wrapped in a list": f"[{CAP}]",
    "Gemini: JSON in a string": json.dumps(CAP),
    "corrected afterwards": f"{DRAFT}\n\nThat was too short. Better:\n{CAP}",
    "more keys": json.dumps({**CAPTION, "confidence": 0.9, "tags": ["mug"]}),
    "keys in another case": '{"Short_Caption": "a red mug", "longCaption": "a red mug on a table"}',
    "keys as words": '{"short caption": "a red mug", "LONG-CAPTION": "a red mug on a table"}',
    "Mistral: comma at the end": CAP[:-1] + ",\n}",
    "Mistral: single quotes": str(CAPTION),
    "keys without quotes": '{short_caption: "a red mug", long_caption: "a red mug on a table"}',
    "typographic quotes": CAP.replace('{"', "{“").replace('"', "”"),
    "raw line breaks in strings": CAP.replace("a red mug on", "a red\nmug\ton"),
    "Qwen-VL: spaces instead of an end": CAP + " " * 3000,
}


@pytest.mark.parametrize("text", CAPTIONS.values(), ids=CAPTIONS)
def test_the_one_whole_object_is_read(text: str) -> None:
    assert parse_reply(text, reply_schema("caption")) == CAPTION


UNREADABLE = {
    "only a thought": f"<think>{DRAFT}</think>",
    "a thought without an end": f"<think>Let me see: {DRAFT} Or",
    "a thought cut in an object": f"<think>Let me see: {DRAFT}, or {CAP[:-1]}",
    "a thought that ends in a wrapper": f'<think>So {{"draft": {DRAFT}, "final": {{}}}}',
    "analysis without an end": OPENED + DRAFT,
    "two drafts of one key": '{"short_caption": "a"} {"short_caption": "b"} {"long_caption": "c"}',
    "only analysis": f"{OPENED}{DRAFT}<|end|>",
    "cut in a string": CAP[:-8],
    "cut before the brace": CAP[:-1],
    "cut in a wrapper": f'{{"draft": {DRAFT}, "final": {{"short_caption": "a',
    "cut in a fence": f"```json\n{PRETTY[:-3]}",
    "a bracket instead of a brace": CAP[:-1] + "]",
    "quotes in a string": '{"short_caption": "a "STOP" sign", "long_caption": "a sign"}',
    "NaN": '{"short_caption": NaN, "long_caption": "a"}',
    "an empty caption": '{"short_caption": "", "long_caption": "a"}',
    "numbers": '{"short_caption": 1, "long_caption": 2}',
    "schema only": json.dumps(reply_schema("caption").full),
    "prose": "I can see a red mug on a table.",
    "empty objects": "{} {} {}",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_whole_object_is_invalid(text: str) -> None:
    for partial in (False, True):
        with pytest.raises(InvalidReply):
            parse_reply(text, reply_schema("caption"), partial)


YES_NO = {
    "as it is": '{"1": "yes", "2": "no"}',
    "capitals": '{"1": "YES", "2": "No"}',
    "spaces": '{"1": " yes ", "2": "no\\n"}',
    "full stops": '{"1": "Yes.", "2": "No!"}',
    "Markdown": '{"1": "**yes**", "2": "`no`"}',
    "explained": '{"1": "Yes, it is red", "2": "no (it is blue)"}',
    "booleans": '{"1": true, "2": false}',
    "Python's booleans": "{'1': True, '2': False}",
    "booleans as words": '{"1": "True", "2": "false"}',
    "letters": '{"1": "Y", "2": "n"}',
    "a list": '["yes", "no"]',
    "a list in prose": 'My answers [in order]: ["Yes", "No"].',
    "a list in an object": '{"answers": ["yes", "no"]}',
    "an object in an object": '{"answers": {"1": "yes", "2": "no"}}',
    "padded numbers": '{"01": "yes", "02": "no"}',
    "named numbers": '{"Statement 1": "yes", "statement_2": "no"}',
    "numbers with dots": '{"1.": "yes", "2.": "no"}',
    "numbers from 0": '{"0": "yes", "1": "no"}',
    "numbers without quotes": '{1: "yes", 2: "no"}',
    "more entries": '{"1": "yes", "2": "no", "3": "yes", "why": "red"}',
    "objects in a list": '[{"1": "yes"}, {"2": "no"}]',
    "an object a line": '{"1": "yes"}\n{"2": "no"}',
    "wrapped entries": '{"1": {"answer": "yes"}, "2": {"answer": "No"}}',
    "digits": '{"1": 1, "2": 0}',
    "digits as words": '{"1": "1", "2": "0"}',
    "fractions": '{"1": 1.0, "2": 0.0}',
    "digits in a list": "[1, 0]",
    "correct": '{"1": "correct", "2": "Incorrect."}',
    "ids": '[{"id": 2, "answer": "no"}, {"id": 1, "answer": "yes"}]',
    "ids and more": '{"answers": [{"statement_id": "2", "statement": "It is 1", "answer": "No."},'
    ' {"statement_id": "1", "statement": "It is 2", "answer": true}]}',
    "ids and digits": '[{"number": 1, "verdict": 1}, {"number": 2, "verdict": 0}]',
    "ids from 0": '[{"index": 1, "answer": "no"}, {"index": 0, "answer": "yes"}]',
    "ids, an object a line": '{"id": 2, "answer": "no"}\n{"id": 1, "answer": "yes"}',
    "a list after it": '{"1": "yes", "2": "no"} Seen in ["no", "yes"].',
    "another order": '{"2": "no", "1": "yes"}',
}


@pytest.mark.parametrize("text", YES_NO.values(), ids=YES_NO)
def test_words_and_numbers_are_read_in_any_form(text: str) -> None:
    value = parse_reply(text, reply_schema("verify", 2))
    assert list(value.items()) == [("1", "yes"), ("2", "no")] or text == YES_NO["another order"]
    assert value == {"1": "yes", "2": "no"}


@pytest.mark.parametrize(
    "text",
    [
        '["yes"]',
        '["yes", "no", "no"]',
        '{"1": "yes"}',
        '{"1": "yes", "2": "maybe"}',
        '{"1": "yes", "2": "no doubt"}',
        '{"1": "yes", "2": null}',
        '{"1": "yes", "2": 0}',
        '{"1": 1, "2": 2}',
        '{"1": "1. yes", "2": "2. no"}',
        "[1, 2]",
        '[{"id": 1, "answer": "yes"}, {"id": 1, "answer": "no"}]',
        '[{"id": 1, "answer": "yes"}, {"id": 3, "answer": "no"}]',
        '[{"id": 1, "answer": "yes"}, {"answer": "no"}]',
        '[{"valid": 1, "answer": "yes"}, {"valid": 0, "answer": "no"}]',
        '{"0": "yes", "2": "no"}',
        '{"1": "yes", "1": "no"}',
        "yes, no",
    ],
)
def test_entries_that_could_be_anothers_are_invalid(text: str) -> None:
    with pytest.raises(InvalidReply):
        parse_reply(text, reply_schema("verify", 2))


@pytest.mark.parametrize("key", ["id", "region", "Region_ID", "image_number", "index"])
def test_a_list_of_captions_with_numbers_is_put_in_order(key: str) -> None:
    items = [{key: n, "caption": f"a mug {n}"} for n in (3, 1, 2)]
    captions = {"1": "a mug 1", "2": "a mug 2", "3": "a mug 3"}
    for text in (json.dumps(items), "\n".join(map(json.dumps, items))):
        assert parse_reply(text, reply_schema("regions", 3)) == captions
    part = json.dumps(items[:2])
    assert list(parse_reply(part, reply_schema("regions", 3), partial=True)) == ["1", "3"]


def test_a_label_that_ends_in_a_number_is_none() -> None:
    items = [{"item": f"bus {n}", "caption": f"a bus {n}"} for n in (2, 1)]
    with pytest.raises(InvalidReply):
        parse_reply(json.dumps(items), reply_schema("regions", 2))


def test_prose_is_no_empty_list() -> None:
    with pytest.raises(InvalidReply):
        parse_reply("A red mug.", ReplySchema({"type": "array", "items": {"type": "string"}}))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "<think>A person. Policy says no.</think>\n\nI cannot identify people in images.",
        "\"I'm sorry, but I can't assist with that request.\"",
        "**I'm unable to help with this image.**",
    ],
)
def test_a_refusal_in_prose_is_named_as_one(text: str) -> None:
    with pytest.raises(RefusedInProse, match=r"^I"):
        parse_reply(text, reply_schema("caption"))


@pytest.mark.parametrize(
    "text",
    [
        "The sign says: I'm sorry, but I can't help.",
        "I'm sorry, but I can't be sure. " + "A red mug stands on a table. " * 20,
        f"I'm sorry, but I can't do better: {CAP[:-1]}, 1: 2}}",
        "<think>I'm sorry, but I can't help",
        "A red mug.",
    ],
)
def test_other_prose_is_no_refusal(text: str) -> None:
    with pytest.raises(InvalidReply) as caught:
        parse_reply(text, reply_schema("regions", 3))
    assert type(caught.value) is InvalidReply


def _swap(attribute: Any = "color", **more: Any) -> dict[str, Any]:
    return {"attribute": attribute, "original": "red", "replacement": "blue", **more}


def test_a_bad_item_of_a_list_costs_that_item() -> None:
    items = [
        _swap(),
        _swap("hue"),
        _swap("Material"),
        _swap(replacement="x" * 101),
        _swap(original=None),
        "red to blue",
        _swap(why="it is false"),
    ]
    text = json.dumps({"1": items, "2": [], "3": None, "4": _swap()})
    assert parse_reply(text, reply_schema("negatives", 4)) == {
        "1": [_swap(), _swap("material"), _swap()],
        "2": [],
        "3": [],
        "4": [_swap()],
    }


def test_a_list_of_bad_items_only_is_invalid() -> None:
    text = json.dumps({"1": [_swap("hue")], "2": [_swap()]})
    with pytest.raises(InvalidReply):
        parse_reply(text, reply_schema("negatives", 2))
    assert parse_reply(text, reply_schema("negatives", 2), partial=True) == {"2": [_swap()]}


def test_too_long_a_list_is_cut() -> None:
    text = json.dumps({"1": [_swap()] * 50})
    assert parse_reply(text, reply_schema("negatives", 1)) == {"1": [_swap()] * 40}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"1": "a mug", "2": "a bag"}', ["1", "2"]),
        ('{"1": "a mug", "2": "", "3": "a hat"}', ["1", "3"]),
        ('{"1": "a mug", "2": null, "3": 7, "4": "a hat"}', ["1", "4"]),
        ('so: {"2": "a mug", "4": "a hat", "7": "a cat"}', ["2", "4"]),
        (json.dumps({"1": "x" * 1001, "2": "a bag", "3": "a hat"}), ["2", "3"]),
        ('{"1": "a mug", "2": ["a bag"], "3": "a hat"}', ["1", "3"]),
    ],
)
def test_in_part_at_least_half_of_the_entries_must_be_good(text: str, left: list[str]) -> None:
    schema = reply_schema("regions", 4)
    with pytest.raises(InvalidReply, match="reply"):
        parse_reply(text, schema)
    assert list(parse_reply(text, schema, partial=True)) == left


@pytest.mark.parametrize("text", ['{"1": "a mug"}', "{}", "[]", '{"0": "a", "1": "b", "2": "c"}'])
def test_fewer_than_half_of_the_entries_are_invalid(text: str) -> None:
    with pytest.raises(InvalidReply):
        parse_reply(text, reply_schema("regions", 4), partial=True)


def test_a_whole_reply_is_preferred_to_a_later_part() -> None:
    text = '{"1": "yes", "2": "no"} then {"1": "no"}'
    assert parse_reply(text, reply_schema("verify", 2), partial=True) == {"1": "yes", "2": "no"}


def test_a_schema_of_ones_own_is_fitted_too() -> None:
    schema = ReplySchema(
        {
            "type": "object",
            "properties": {
                "mood": {"enum": ["calm", "busy"]},
                "indoors": {"type": "boolean"},
                "colors": {"type": "array", "items": {"type": "string", "maxLength": 5}},
            },
            "required": ["mood", "indoors"],
            "additionalProperties": False,
        }
    )
    text = '{"Mood": "Calm.", "indoors": "Yes", "colors": ["red", "vermilion", 3]}'
    assert parse_reply(text, schema) == {"mood": "calm", "indoors": True, "colors": ["red"]}


def test_parts_of_a_schema_with_references_are_left_alone() -> None:
    schema = ReplySchema(
        {
            "type": "object",
            "definitions": {"word": {"type": "string", "maxLength": 5}},
            "properties": {
                "colors": {"type": "array", "items": {"$ref": "#/definitions/word"}},
                "sizes": {
                    "type": "object",
                    "patternProperties": {"^[a-z]$": {"type": "integer"}},
                    "additionalProperties": False,
                },
            },
            "required": ["colors"],
            "additionalProperties": False,
        }
    )
    good = {"colors": ["red"], "sizes": {"a": 1}}
    assert parse_reply(json.dumps({**good, "more": 1}), schema) == good
    for bad in ({"colors": ["vermilion"]}, {"colors": [], "sizes": {"A": 1}}):
        with pytest.raises(InvalidReply):
            parse_reply(json.dumps({**bad, "more": 1}), schema)


def test_more_items_than_are_looked_at_are_not_lost() -> None:
    schema = ReplySchema({"type": "object", "properties": {"a": {"type": "array", "items": {
        "type": "integer"}}}, "additionalProperties": False})  # fmt: skip
    many = {"a": [*range(10_000)]}
    assert parse_reply(json.dumps(many), schema) == many
    assert parse_reply(f"Here: {json.dumps(many)}", schema) == many
    with pytest.raises(InvalidReply):
        parse_reply(json.dumps({"a": [*range(10_000), "x"]}), schema)


def _said(message: Any, finish_reason: str = "stop") -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish_reason}]}


_TEXT = {"type": "text", "text": CAP}
_THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}
MESSAGES = {
    "text": {"content": CAP},
    "Mistral: parts": {"content": [_THOUGHT, _TEXT]},
    "Claude: parts": {"content": [{"type": "thinking", "thinking": DRAFT}, _TEXT]},
    "text in several parts": {"content": [{"type": "text", "text": c} for c in (CAP[:9], CAP[9:])]},
    "parts of plain text": {"content": [CAP[:9], CAP[9:]]},
    "responses": {"content": [{"type": "output_text", "text": CAP, "annotations": []}]},
    "Gemini: thoughts": {"content": [{"type": "text", "text": DRAFT, "thought": True}, _TEXT]},
    "an object": {"content": CAPTION},
    "LM Studio: reasoning_content": {"content": "", "reasoning_content": CAP},
    "vLLM: reasoning": {"content": None, "reasoning": f"\n{CAP}\n"},
    "vLLM: blank text": {"content": "\n\n", "reasoning": CAP, "reasoning_content": CAP},
    "OpenRouter: details": {
        "content": None,
        "reasoning_details": [{"type": "reasoning.text", "text": CAP}, {"type": ["x"]}],
    },
    "Ollama: thinking": {"content": "", "thinking": CAP},
    "parsed": {"content": None, "parsed": CAPTION},
    "text beside reasoning": {"content": CAP, "reasoning_content": DRAFT},
    "tool call": {"content": None, "tool_calls": [{"function": {"arguments": CAP}}]},
    "tool call, parsed": {"content": "", "tool_calls": [{"function": {"arguments": CAPTION}}]},
    "function call": {"content": None, "function_call": {"name": "x", "arguments": CAP}},
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_the_text_is_found_wherever_a_server_puts_it(message: dict[str, Any]) -> None:
    text, truncated = content(_said(message))
    assert parse_reply(text, reply_schema("caption")) == CAPTION and not truncated


def test_cut_reasoning_is_no_reply() -> None:
    assert content(_said({"content": "", "reasoning_content": CAP}, "length")) == ("", True)
    assert content(_said({"content": "a"}, "MAX_TOKENS")) == ("a", True)


@pytest.mark.parametrize(
    "message",
    [None, "x", [], {}, {"content": 7}, {"content": [None, 7, {"type": "image_url"}]},
     {"content": {}}, {"tool_calls": [None, {"function": None}]}, {"tool_calls": {"a": 1}},
     {"reasoning": [1]}],
)  # fmt: skip
def test_a_message_of_another_shape_has_no_text(message: Any) -> None:
    assert content(_said(message))[0] in ("", "{}")
    assert content({"choices": [{"text": CAP}]}) == (CAP, False)


_words = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("{}[]\"\\',:`<>"), min_size=1
)


@given(
    st.fixed_dictionaries({"short_caption": _words, "long_caption": _words}),
    st.sampled_from(["", "Here:\n", "```json\n", "<think>{}</think>", "{x} [1] 'it's' {", '"a ']),
    st.sampled_from(["", "\n```", "<|im_end|>", "\nIt's {done} \"so", "}", " <think>{}"]),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_texts_are_read_as_they_were_written(
    value: dict[str, str], before: str, after: str, plain: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=plain, indent=indent)
    assert parse_reply(before + text + after, reply_schema("caption")) == value


@given(st.dictionaries(st.sampled_from("123456789"), _words, min_size=9), st.integers(0, 400))
def test_a_cut_reply_is_never_read_as_a_whole_one(value: dict[str, str], cut: int) -> None:
    text = json.dumps(value, ensure_ascii=False)
    text = text[: max(0, len(text) - 1 - cut)]
    with pytest.raises(InvalidReply):
        parse_reply(text, reply_schema("regions", 9))
