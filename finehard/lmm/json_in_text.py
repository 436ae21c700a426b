"""Finds the JSON values in a model's text, whatever stands around them, in linear time.

All of this runs on the event loop, so the work is bounded for any text that a model can produce.
"""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import Any

import orjson

LONGEST = 1 << 17
"""Characters of the longest text that is searched: some 30,000 tokens, more than any stage asks
for."""
LONGEST_LOOSE = 1 << 15
"""The same, where the JSON is not strict."""
MOST_VALUES = 16
"""Values that are returned of a text, at most: the last ones."""
_EFFORT = 1_000_000
"""Characters that the JSON scanner may read in one text."""
_EFFORT_OF_VALUE, _EFFORT_OF_ATTEMPT = 100, 2_000
"""What a value costs beside what is read, and a failed attempt."""

_REASONING = re.compile(
    r"(?=<[trsc/|]|\[[t/]|_s|as|\u25c1)(?:"  # hardly any characters begin a mark
    r"(?P<open><(?:think|thinking|thought|reasoning|reflection|seed:think)>"
    r"|\[THINK\]|◁think▷|<\|(?:START_THINKING|begin_of_thought)\|>"
    r"|<\|channel\|>(?:analysis|commentary)\b|<\|channel>thought\b)"
    r"|</(?:think|thinking|thought|reasoning|reflection|seed:think)>"
    r"|\[/THINK\]|◁/think▷|<\|(?:END_THINKING|end_of_thought)\|>"
    r"|<\|channel\|>final\b|<channel\|>|assistantfinal(?=\s*[`{\[])"
    r"|_SYNTHETIC_REASONING_END_\w{0,64})",
    re.IGNORECASE,
)
"""Marks around reasoning: Qwen, DeepSeek and GLM (think), Seed-OSS, Magistral ([THINK]), Kimi-VL,
Cohere, gpt-oss (channels, and what is left of them without special tokens), Gemma, LM Studio."""

_OBJECT = re.compile(r'\{\s*["}]')
_OBJECT_OR_LIST = re.compile(r'\{\s*["}]|\[\s*["\[{}\]tfn]')
_AFTER_ANSWER = re.compile(r"(?:\s|`|<[^<>\s]{1,40}>)*+")
_CONTROL_CHARACTERS = bytes(32 if code < 32 else code for code in range(256))
_SCANNER = json.JSONDecoder(strict=False, parse_float=len, parse_int=len, parse_constant=len)

_LOOSE_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
    r"|'(?P<single>(?:[^'\\]|\\.)*+)(?:'|\\?\Z)"
    r"|(?P<literal>\b(?:True|False|None)\b)"
    r"|(?P<comma>,(?=[\s\u00a0\u200b\ufeff]*+[}\]]))"
    r"|(?P<before>[{,]\s*+)(?P<key>\w{1,64}+)(?=\s*+:)"
    r"|(?P<odd>[\u00a0\u200b-\u200f\u2060\ufeff]+)",
    re.DOTALL,
)
_LITERALS = {"True": "true", "False": "false", "None": "null"}


def json_values(text: str, lists: bool) -> list[Any]:
    """Returns the outermost JSON objects in `text`, and arrays if `lists`; the last `MOST_VALUES`.

    What a model thought before it answered is left out, as is an object that `text` ends in.
    Control characters count as white space, in strings too, since guided decoding allows them
    there; everything else is strict: NaN and lone surrogates are no values. Nothing is read after
    nesting that is too deep.
    """
    return [] if len(text) > LONGEST else _values(without_reasoning(text), lists)


def loose_json_values(text: str, lists: bool) -> list[Any]:
    """Returns the same of objects that are nearly JSON.

    These are trailing commas, single quotes, Python's True, False and None, keys without quotes,
    typographic quotes as delimiters, non-breaking and zero-width spaces between tokens. Texts in
    the strings stay as they are. Quotes inside strings are not guessed at.
    """
    if len(text) > LONGEST_LOOSE:
        return []
    text = without_reasoning(text)
    start = text.find("{")
    if start < 0:
        return []
    text = text[start:]
    if re.match(r"\{\s*[“”]", text):
        text = text.translate({ord("“"): '"', ord("”"): '"'})
    return _values(_LOOSE_TOKEN.sub(_strict_token, text), lists)


def last_thought(text: str) -> Any:
    """Returns the JSON object that ends a thought without an end, as some models close none before
    they answer; None if there is none. Fences and special tokens may follow it."""
    opened = None
    for mark in _REASONING.finditer(text[-LONGEST_LOOSE:]):
        if not mark["open"]:
            opened = None
        elif opened is None and not mark["open"].startswith("<|"):
            opened = mark
    if opened is None:
        return None
    end = opened.string.rfind("}") + 1
    if not _AFTER_ANSWER.fullmatch(opened.string, end):
        return None
    found = _values(opened.string[opened.end() : end], lists=False)
    return found[-1] if found else None


def without_reasoning(text: str) -> str:
    """Returns `text` without blocks of reasoning; the first may lack its opening mark.

    A block without its end is all that remains of `text`.
    """
    parts: list[str] = []
    start: int | None = 0
    for mark in _REASONING.finditer(text):
        if mark["open"]:
            if start is not None:
                parts.append(text[start : mark.start()])
            start = None
        else:
            if start is not None:
                parts = []
            start = mark.end()
    if start is not None:
        parts.append(text[start:])
    return "\n".join(parts)


def _values(text: str, lists: bool) -> list[Any]:
    start_of_value = _OBJECT_OR_LIST if lists else _OBJECT
    try:
        text = text.encode().translate(_CONTROL_CHARACTERS).decode().rstrip()
    except UnicodeError:  # a lone surrogate
        return []
    found: list[tuple[int, int]] = []
    effort = _EFFORT
    at = 0
    while effort > 0 and (match := start_of_value.search(text, at)):
        start = match.start()
        try:
            _, at = _SCANNER.raw_decode(text, start)
        except JSONDecodeError as error:
            if error.pos >= len(text) or error.msg.startswith("Unterminated"):
                break  # the text was cut inside this value
            at = start + 1
            effort -= error.pos - start + _EFFORT_OF_ATTEMPT
        except RecursionError:
            break
        else:
            effort -= at - start + _EFFORT_OF_VALUE
            found.append((start, at))
    values = []
    for start, end in found[-MOST_VALUES:]:
        try:
            values.append(orjson.loads(text[start:end]))
        except ValueError:
            continue
    return values


def _strict_token(token: re.Match[str]) -> str:
    if token["single"] is not None:
        inner = token["single"].replace("\\'", "'")
        return '"' + re.sub(r'(\\.)|"', lambda m: m[1] or '\\"', inner, flags=re.DOTALL) + '"'
    if token["literal"]:
        return _LITERALS[token["literal"]]
    if token["key"]:
        return f'{token["before"]}"{token["key"]}"'
    if token["comma"]:
        return ""
    return " " if token["odd"] else token[0]
