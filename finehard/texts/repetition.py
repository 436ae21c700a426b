"""Repetition: a model that got stuck in a loop of words or sentences.

Limits were measured on real captions and on true lists of like things; see tests/texts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

_NUMBERS = frozenset((
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
    "ninth", "tenth", "another", "next"
))  # fmt: skip
_TIMES = {1: 5, 4: 4, 6: 3}
"""As often may a stretch of words not follow on itself, by its least length in words."""
_TIMES_COUNTED = 6
"""The same for a stretch with a number in it, of three words or more."""
_LEAST = 5
"""Shortest repeated stretch, in words: "very very very very very tall" is none."""
REPEATED = 0.4
"""Share of four-word sequences that occurred before, from which a text is a loop. Real captions
have at most 0.06, lists of like things up to 0.3."""
_FEW = 8
_RUN = re.compile(r"([^\w\s])\1{39}")
"""A punctuation mark again and again."""
_DIGIT = re.compile(r"\d")
COMPRESSED = 0.22
"""Share of its UTF-8 bytes to which zlib compresses a loop, or less; for scripts without spaces.
Real captions of the same length have 0.4 or more."""
_SHORT = 160


def is_loop(text: str, words: Sequence[str]) -> bool:
    """Whether `text` repeats itself; `words` are its words in lower case.

    Numbers count as equal, so that "... in 1. ... in 2." is a loop too.
    """
    grams = _grams(words)
    recurring = len(grams) - len(set(grams))
    if len(grams) >= _FEW and recurring >= REPEATED * len(grams):
        return True
    if not _NUMBERS.isdisjoint(words) or _DIGIT.search(text):
        words = ["#" if word in _NUMBERS or word.isdigit() else word for word in words]
        grams = _grams(words)
        recurring = len(grams) - len(set(grams))
    if recurring > 1 and _follows_itself(words):
        return True
    return _compressed(text) < COMPRESSED or _RUN.search(text) is not None


def _grams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], words[3:], strict=False))


def _follows_itself(words: Sequence[str]) -> bool:
    """Whether a stretch of `words`, in which "#" is any number, follows on itself again and again.

    A stretch of `_LEAST` words that does has at least two recurring sequences of four words.
    """
    last: dict[tuple[str, ...], int] = {}
    period = length = counted = 0
    for at, pair in enumerate(zip(words, words[1:], strict=False)):
        before = last.get(pair)
        last[pair] = at
        if before is None:
            period = 0
            continue
        if at - before != period:
            period, length, counted = at - before, 0, 0
        length += 1
        counted += "#" in pair
        if counted:
            enough = period >= 3 and _times(length, period) >= _TIMES_COUNTED
        else:
            least = max(words for words in _TIMES if words <= period)
            enough = _times(length, period) >= _TIMES[least]
        if enough and length + 1 >= _LEAST:
            return True
    return False


def _times(length: int, period: int) -> float:
    """How often a stretch of `period` words stands there, when `length` pairs recurred."""
    return (length + 1) / period + 1


def _compressed(text: str) -> float:
    data = text.encode("utf-8", "replace")
    return len(zlib.compress(data, 1)) / len(data) if len(data) >= _SHORT else 1.0
