"""Markup in a text: special tokens, HTML, Markdown, JSON. What is left is prose.

Every pattern is bounded, so the time is linear in the text's length.
"""

from __future__ import annotations

import html
import json
import re

from finehard.texts.cut import Cut

TOKENS, HTML, MARKDOWN, JSON = "special_tokens", "html", "markdown", "json"

_SIGN = re.compile(r"[<&*`_~#\[\\{\n]")
_ITEM = re.compile(r"\s*(?:(?:[-*+•●▪◦‣–—]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+(?=\S)|>\s?)")
"""Without a sign, and an item at its beginning, a text holds no markup."""

_END = re.compile(
    r"<[|｜](?:im_end|endoftext|eot_id|eom_id|end|end[_▁]of[_▁]\w{1,12}|return)[|｜]>"
    r"|</s>|<eos>|<end_of_(?:turn|utterance)>",
    re.IGNORECASE,
)
"""Tokens that end a turn: what a model writes after them is not its reply."""
_BOXES = re.compile(
    r"(?:<\|box_start\|>|<box>)[^<]{0,120}(?:<\|box_end\|>|</box>)|\[\[\d[\d,;. \[\]]{2,80}\]\]"
    r"|\(\d{1,4}, ?\d{1,4}\), ?\(\d{1,4}, ?\d{1,4}\)"
    r"|(?<![\"'`“])\[(?=[^\[\]]{0,40}\d[.\d])\d{1,4}(?:\.\d{1,6})?(?:, ?\d{1,4}(?:\.\d{1,6})?){3}\]"
)
"""Boxes as models trained to ground write them."""
_TURN = re.compile(
    r"#{2,4} ?(?:Instructions?|Response|Input|Output|Question|Answer|User|Assistant|Human|System)\b"
    r":?|(?:^|\n)\s*(?:Assistant|ASSISTANT): |\n\s*(?:User|Human|USER|HUMAN): "
    r"|(?<=[.!?\"”)]) +(?:User|Human|USER|HUMAN): (?=[^\n]{1,400}\b(?:Assistant|ASSISTANT|AI): )"
)
"""Where a model goes on with a conversation of its own."""
_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|\[/?INST\]|<</?SYS>>|\[(?:PAD|UNK|CLS|SEP|MASK|BOS|EOS|IMG)\]"
    r"|</?(?:s|bos|eos|pad|unk|mask|image|video|ref|box|quad|think|img_\w{1,20}|image_\w{1,20}"
    r"|start_of_\w{1,12}|end_of_\w{1,12}|0x[0-9A-Fa-f]{2})>",
    re.IGNORECASE,
)
_TAGS = (
    r"(?:a|answer|article|b|blockquote|body|br|caption|center|code|description|div|em|figcaption"
    r"|figure|font|h[1-6]|head|hr|html|i|img|li|ol|output|p|pre|response|section|small|span|strong"
    r"|sub|sup|table|tbody|td|th|thead|title|tr|u|ul)"
)
_TAG = re.compile(rf"</?{_TAGS}\s?/?>", re.IGNORECASE)
_TAG_WITH_ATTRIBUTES = re.compile(rf"<{_TAGS}\s[^<>]{{1,200}}>", re.IGNORECASE)
_ABOUT_TAGS = re.compile(r"> (?:and <\w{1,9}> )?tags?\b|\btags? <")
"""Tags that are spoken of."""
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8}\d{0,2});")
_ESCAPE = re.compile(r"\\n(?![a-z])|\\t(?![a-z])|\\(?=[\"'*_#`])")
"""Escapes of JSON and of Markdown that a model wrote twice."""

_PICTURE = re.compile(r"!\[[^\[\]\n]{0,200}\]\([^()\s]{1,300}\)")
_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\([^()\s]{1,300}\)")
_EMPHASIS = re.compile(r"(?<![\w*])\*{1,3}(?=[^\s*])([^*\n]{1,300})(?<=\S)\*{1,3}(?![\w*])")
_UNDERLINED = re.compile(r"(?<![\w_])_{1,3}(?=[^\s_])([^_\n]{1,300})(?<=[^\s_])_{1,3}(?![\w_])")
_CODE = re.compile(r"(?<!`)`([^`\n]{1,300})`(?!`)")
_STRUCK = re.compile(r"~~([^~\n]{1,300})~~")
_LEFT_OVER = re.compile(r"\*{2,3}|`{3}(?:json|markdown|text|html)?|(?<!\w)`(?!\w)")

_RULE = re.compile(r"[-*_=~ ]{3,}|[`~]{3,}\s*\w{0,12}")
_HEADING = re.compile(r"(#{1,6}\s+)(?:.*)|(?:\*\*|__)[^*_]{1,100}(?:\*\*|__):?")
_LABEL = re.compile(r"(?:\w+ ){0,3}\w+:")
_ROW = re.compile(r"\|(.+)\|")
_SPACE_BEFORE = re.compile(r"\s+(?=[.,;:!?](?:\s|$))")


def without_markup(text: str) -> Cut:
    """Returns `text` without special tokens, HTML and Markdown; lists and tables become sentences.

    JSON with a single text in it becomes that text. Emphasised words stay, headings go where there
    is anything else.
    """
    cut = Cut(text)
    if not (_SIGN.search(text) or _ITEM.match(text) or _TURN.search(text)):
        return cut
    if "<" in text or "[" in text:
        _tokens(cut)
    _turns(cut)
    if cut.text.lstrip()[:1] in "{[`" and "{" in cut.text:
        _json(cut)
    if "\\" in cut.text:
        cut.every(MARKDOWN, _ESCAPE, "\n")
    if "&" in cut.text and _ENTITY.search(cut.text):
        for entity in _ENTITY.findall(cut.text):
            cut.note(HTML, entity)
        cut.text = html.unescape(cut.text)
    if "<" in cut.text and not _ABOUT_TAGS.search(cut.text):
        if "</" in cut.text or cut.text.lstrip()[0] == "<":  # else it is about HTML, not in it
            cut.every(HTML, _TAG_WITH_ATTRIBUTES, "\n")
        cut.every(HTML, _TAG, "\n")
    _lines(cut)
    for sign, pattern in (
        ("![", _PICTURE), ("](", _LINK),
        ("*", _EMPHASIS), ("_", _UNDERLINED), ("`", _CODE), ("~~", _STRUCK)
    ):  # fmt: skip
        if sign in cut.text:
            cut.every(MARKDOWN, pattern)
    if "**" in cut.text or "`" in cut.text:
        cut.every(MARKDOWN, _LEFT_OVER, "")
    if cut.pieces:
        cut.text = _SPACE_BEFORE.sub("", cut.text.strip())
    return cut


def _tokens(cut: Cut) -> None:
    before, thought, after = cut.text.rpartition("</think>")
    if thought:
        cut.note(TOKENS, before + thought)
        cut.text = after
    cut.every(TOKENS, _BOXES, "")
    end = next((m for m in _END.finditer(cut.text) if m.start() and cut.text[: m.start()].strip()),
               None)  # fmt: skip
    if end:
        cut.tail(TOKENS, end.start())
    cut.every(TOKENS, _TOKEN)


def _turns(cut: Cut) -> None:
    """Cuts the name of the first turn, and all turns after it."""
    first = _TURN.match(cut.text)
    if first:
        cut.note(TOKENS, first[0].strip())
        cut.text = cut.text[first.end() :].lstrip()
    if turn := _TURN.search(cut.text):
        cut.tail(TOKENS, turn.start())


def _json(cut: Cut) -> None:
    """Takes the one text out of JSON, fenced or not; leaves all else as it is."""
    start, end = cut.text.find("{"), cut.text.rfind("}") + 1
    try:
        value = json.loads(cut.text[start:end], strict=False)
    except (ValueError, RecursionError):
        return
    texts = list(value.values())
    if len(texts) == 1 and isinstance(texts[0], str):
        cut.note(JSON, cut.text[:start] + cut.text[start:end].replace(texts[0], "", 1))
        cut.text = texts[0]


def _lines(cut: Cut) -> None:
    """Joins lines to prose: list items become sentences, headings and rules go."""
    lines = [line for line in map(str.strip, cut.text.splitlines()) if line]
    prose: list[str] = []
    headings: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        if _RULE.fullmatch(line.replace("|", "-").replace(":", "-")):
            cut.note(MARKDOWN, line)
        elif heading := _HEADING.fullmatch(line):
            headings.append(line[len(heading[1] or "") :])
            cut.note(MARKDOWN, line)
        elif len(lines) > 1 and _LABEL.fullmatch(line):
            headings.append(line)
            cut.note(MARKDOWN, line)
        elif row := _ROW.fullmatch(line):
            cut.note(MARKDOWN, "|")
            prose.append(", ".join(filter(None, map(str.strip, row[1].split("|")))) + ".")
        elif item:
            cut.note(MARKDOWN, item[0])
            rest = line[item.end() :]
            ends = len(lines) == 1 or rest[-1:] in (*".!?:;,", "")
            prose.append(rest if ends else rest + ".")
        else:
            prose.append(line)
    cut.text = " ".join(prose or headings)


def is_json(text: str) -> bool:
    """Whether `text` begins or ends as JSON does, or holds a quoted key."""
    if not any(c in text for c in "{[]}:"):
        return False
    return _JSON_LIKE.search(_SHOWN.sub(" ", text)) is not None


_SHOWN = re.compile(
    r"(?<=[a-z] )(?<!json )(?<!caption )(?<!format )[{\[][^{}\[\]]{0,80}[}\]](?= \w|\.?$)"
)
"""A little JSON within a sentence, as on a screen."""
_JSON_LIKE = re.compile(r'^\W*[{\[]\s*["\']|"\s*[}\]]+\W*$|"\w{1,40}"\s*:\s*["{\[]')


_CODE_BEGINS = re.compile(
    r"(?:import [\w.]+ (?:as \w+ )?(?:import|from|\w+ ?=|\w+\.\w+)|from [\w.]+ import \w"
    r"|def \w+\(|#include ?[<\"]|function \w*\(|(?:const|let|var) \w+ ?="
    r"|<\?(?:php|xml)|<!DOCTYPE)"
)
_ADDRESS = re.compile(r"\bhttps?://\S+|\bwww\.\S+")
_ADDRESSES = 4


def is_code(text: str) -> bool:
    """Whether `text` begins as programs do, or is full of addresses of web pages."""
    return bool(_CODE_BEGINS.match(text)) or len(_ADDRESS.findall(text)) >= _ADDRESSES


def is_address(text: str) -> bool:
    """Whether `text` is nothing but the address of a web page."""
    return text[:4] in ("http", "www.") and _ADDRESS.fullmatch(text) is not None
