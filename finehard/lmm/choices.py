"""Probabilities of the words in a yes/no reply, computed from the server's log-probabilities.

Servers report tokens in many ways: without the spaces of the text, with a tokenizer's marks for
them, as bytes, with the reasoning before and the stop tokens after the reply. So both sides are
compared as bytes without white space, and aligned from the end.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from finehard.lmm.repair import numbered_names

_ENTRY = re.compile(
    r'"(?P<key>[^"\\\n]{1,64})"\s*+:\s*+'
    r'(?:\{\s*+"[^"\\\n]{1,64}"\s*+:\s*+)?(?:"\s*+(?P<word>[^"\\]{1,64})|(?P<bare>true|false))'
)
_LISTED = re.compile(r'[\[,]\s*+(?:"\s*+(?P<word>[^"\\]{1,64})|(?P<bare>true|false))')
_SPACE = re.compile(
    b"[ \t\r\n]|\xc2\xa0|\xe2\x96\x81|\xc4\xa0|\xc4\x8a"  # also the marks of SentencePiece and BPE
)
_HARDLY = 0.0001
"""The least distance from 0.5 of a probability of which only the word is known."""


def probabilities(
    value: dict[str, str], choices: tuple[str, str], text: str, choice: dict[str, Any]
) -> dict[str, float | int]:
    """Returns P(`choices[0]`) against `choices[1]`, in [0, 1], for each key of `value`.

    `text` is the reply that `value` was parsed from, `choice` the server's object around it. A
    probability that could be read is a float; the int 1 or 0, by the word itself, is the value
    where none could: `choice` has no log-probabilities, or none of this text.

    Where the other word is not among the alternatives, its probability is at most the smallest one
    reported, so P is known to lie between a bound and certainty. The middle of the two is returned:
    it never contradicts the word at a threshold of 0.5, as the bound would wherever the server
    reports too little, and comes closer to 0.5 the less is known.
    """
    result: dict[str, float | int] = {key: int(word == choices[0]) for key, word in value.items()}
    tokens = _tokens(choice)
    words = _words(text, value, choices) if tokens else {}
    if not words:
        return result
    begin = min(word.entry for word in words.values())
    end = max(word.end for word in words.values())
    starts, spelled = _joined(tokens)
    at = spelled.rfind(_squeezed(text[begin:end]))
    if at < 0:
        return result
    for key, word in words.items():
        position = at + len(_squeezed(text[begin : word.start]))
        index = bisect_right(starts, position) - 1
        pair = ("true", "false") if word.plain in ("true", "false") else choices
        said = int(value[key] != choices[0])
        read = _probability(tokens[index], position - starts[index], pair, said)
        if read is not None:
            result[key] = round(read, 4)
    return result


class _Token(NamedTuple):
    """The bytes of a token, and of every alternative its probability; both without white space."""

    spelled: bytes
    others: dict[bytes, float]
    """Also the token itself."""
    bound: float
    """The most that an alternative which is not reported can have."""


class _Word(NamedTuple):
    """Where an entry, and the word in it, stand in a text; and the word in lower case."""

    entry: int
    start: int
    end: int
    plain: str

    def says(self, word: Any, choices: tuple[str, str]) -> bool:
        """Returns whether it is another form of `word`."""
        if not isinstance(word, str):
            return False
        if self.plain in ("true", "false") and self.plain not in choices:
            return (self.plain == "true") == (word == choices[0])
        return _is_word(self.plain, word.casefold())


def _words(text: str, value: dict[str, str], choices: tuple[str, str]) -> dict[str, _Word]:
    """Returns the word of each key in `text`: in the last entry under that key."""
    entries = {entry["key"]: entry for entry in _ENTRY.finditer(text)}
    names = numbered_names(entries, value.keys())
    found: dict[str, _Word] = {}
    for key, entry in entries.items():
        name = key if key in value else names.get(key)
        if name is not None and (word := _word(entry)).says(value[name], choices):
            found[name] = word
    if found:
        return found
    items = deque(_LISTED.finditer(text), len(value))
    listed = dict(zip(value, map(_word, items), strict=False))
    fits = all(word.says(value[key], choices) for key, word in listed.items())
    return listed if len(listed) == len(value) and fits else {}


def _word(entry: re.Match[str]) -> _Word:
    start, end = entry.span("word") if entry["word"] is not None else entry.span("bare")
    return _Word(entry.start(), start, end, entry.string[start:end].strip().casefold())


def _is_word(text: str, word: str) -> bool:
    return text.startswith(word) and not text[len(word) : len(word) + 1].isalpha()


def _probability(token: _Token, offset: int, choices: tuple[str, str], said: int) -> float | None:
    """Returns P(first choice) by `token`, in which a word begins at `offset`; None if it does not
    tell. `said` is the index of the word that stands there."""
    prefix = token.spelled[:offset]
    weights = [0.0, 0.0]
    for other, probability in token.others.items():
        rest = other[offset:].decode("utf-8", "ignore").casefold()
        if other.startswith(prefix) and rest:
            for index, word in enumerate(choices):
                if _is_word(rest, word.casefold()) or word.casefold().startswith(rest):
                    weights[index] += probability
    total = sum(weights)
    if total == 0.0:
        return None
    if weights[1 - said] > 0.0 or token.bound == 0.0:
        return weights[0] / total
    least = total / (total + token.bound)
    share = max((least + 1) / 2, 0.5 + _HARDLY)
    return share if said == 0 else 1 - share


def _joined(tokens: list[_Token]) -> tuple[list[int], bytes]:
    """Returns where each token begins in all of them together, and those."""
    starts, length = [], 0
    for token in tokens:
        starts.append(length)
        length += len(token.spelled)
    return starts, b"".join(token.spelled for token in tokens)


def _tokens(choice: dict[str, Any]) -> list[_Token]:
    """Returns the tokens that `choice` reports; an empty list if it reports none."""
    try:
        return [_token(item) for item in _items(choice["logprobs"])]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return []


def _items(logprobs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if logprobs.get("content"):
        yield from logprobs["content"]
        return
    columns = [logprobs["tokens"], logprobs["token_logprobs"]]  # the older form
    tops = logprobs.get("top_logprobs") or [None] * len(columns[0])
    for token, logprob, top in zip(*columns, tops, strict=True):
        yield {"token": token, "logprob": logprob, "top_logprobs": top}


def _token(item: dict[str, Any]) -> _Token:
    spelled, own = _spelled(item), _exp(item["logprob"])
    top = item.get("top_logprobs") or []
    if isinstance(top, dict):
        top = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
    others: dict[bytes, float] = {}
    bound = 1.0
    names = set()
    for other in top:
        name, probability = other["token"], _exp(other["logprob"])
        if name in names:
            continue
        names.add(name)
        key = _spelled(other)
        others[key] = others.get(key, 0.0) + probability
        if name != item["token"]:  # it is added to the top ones where it is none
            bound = min(bound, probability)
    if item["token"] not in names:
        others[spelled] = others.get(spelled, 0.0) + own
    elif len(names) == 1:
        bound = own
    return _Token(spelled, others, max(0.0, min(bound, 1.0 - sum(others.values()))))


def _exp(logprob: Any) -> float:
    """Returns e to the power of `logprob`, at most 1; 0 for what is no number."""
    value = float(logprob) if logprob is not None else -math.inf
    return math.exp(min(0.0, value)) if not math.isnan(value) else 0.0


def _spelled(item: dict[str, Any]) -> bytes:
    codes = item.get("bytes")
    if isinstance(codes, list) and codes:
        return _SPACE.sub(b"", bytes(codes))
    return _squeezed(item["token"])


def _squeezed(text: str) -> bytes:
    return _SPACE.sub(b"", text.encode("utf-8", "replace"))
