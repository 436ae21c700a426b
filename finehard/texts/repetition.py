"""Repetition: a model that got stuck in a loop of words or sentences.

Limits were measured on real captions and on true lists of like things; see tests/texts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import groupby

from finehard.texts.language import words_of

_NUMBERS = frozenset((
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
    "ninth", "tenth", "another", "next"
))  # fmt: skip
_TIMES = {1: 5, 4: 4, 6: 3}
"""As often may a stretch of words not follow on itself, by its least length in words."""
_LEAST_TIMES = min(_TIMES.values())
_TIMES_WORD = 9
"""The same for a single word, as laughter and signs repeat words; but not for these:"""
_FUNCTION = frozenset(("a", "an", "the", "and", "of", "in", "on", "is", "are", "with", "to"))
_TIMES_COUNTED = {2: 6, 1: 20, 0: 100}
"""The same for a stretch with numbers in it, by its least number of other words: axes and lists of
numbered things are long."""
_SAME_BEGINNING = 6
_BEGINNING = re.compile(r"(?:^|[.!?] +)(\w+ \w+ \w+ \w+)\b")
"""As many sentences in a row may not begin with the same four words."""
_QUOTED = re.compile(r"\"[^\"]{1,60}\"|“[^“”]{1,60}”|‘[^‘’]{1,60}’|(?<!\w)'[^'\n]{1,60}'(?!\w)")
"""Short quotations; a sign may say one word often."""
_LEAST = 5
"""Shortest repeated stretch, in words: "very very very very very tall" is none."""
REPEATED = 0.4
"""Share of four-word sequences that occurred before, from which a text is a loop. Real captions
have at most 0.06, lists of like things up to 0.3."""
_FEW = 16
_RUN = re.compile(r"([^\w\s])\1{39}|([^\W\d_])\2{19}")
"""A punctuation mark or letter again and again."""
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
    if recurring and _QUOTED.search(text):
        words = words_of(_QUOTED.sub(" ", text))
        grams = _grams(words)
        recurring = len(grams) - len(set(grams))
    if len(grams) >= _FEW and recurring >= REPEATED * len(grams):
        return True
    if recurring >= _SAME_BEGINNING - 1 and _begins_alike(text):
        return True
    if not _NUMBERS.isdisjoint(words) or _DIGIT.search(text):
        words = ["#" if word in _NUMBERS or word.isdigit() else word for word in words]
        grams = _grams(words)
        recurring = len(grams) - len(set(grams))
    if recurring > 1 and _follows_itself(words):
        return True
    return _compressed(text) < COMPRESSED or _RUN.search(text) is not None


def _begins_alike(text: str) -> bool:
    beginnings = [match[1].lower() for match in _BEGINNING.finditer(text)]
    return any(len(list(same)) >= _SAME_BEGINNING for _, same in groupby(beginnings))


def _grams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], words[3:], strict=False))


def _follows_itself(words: Sequence[str]) -> bool:
    """Whether a stretch of `words`, in which "#" is any number, follows on itself again and again.

    A stretch of `_LEAST` words that does has at least two recurring sequences of four words.
    """
    last: dict[tuple[str, ...], int] = {}
    period = length = 0
    for at, pair in enumerate(zip(words, words[1:], strict=False)):
        before = last.get(pair)
        last[pair] = at
        if before is None:
            period = 0
            continue
        if at - before != period:
            period, length = at - before, 0
        length += 1
        times = (length + 1) / period + 1
        whole = (length + 1) % period == 0 and times >= _LEAST_TIMES and length + 1 >= _LEAST
        if whole and times >= _limit(words[at - period + 2 : at + 2]):
            return True
    return False


def _limit(stretch: Sequence[str]) -> int:
    """How often `stretch`, in which "#" is any number, may not follow on itself."""
    others = len(stretch) - stretch.count("#")
    if others < len(stretch):
        return _TIMES_COUNTED[min(others, max(_TIMES_COUNTED))]
    if len(stretch) == 1 < len(stretch[0]) and stretch[0] not in _FUNCTION:
        return _TIMES_WORD
    return _TIMES[max(least for least in _TIMES if least <= len(stretch))]


def _compressed(text: str) -> float:
    data = text.encode("utf-8", "replace")
    return len(zlib.compress(data, 1)) / len(data) if len(data) >= _SHORT else 1.0
