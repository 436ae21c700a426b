"""A caption as statements, each of which can be cut out, and the caption of those that are left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from finehard.texts.boilerplate import SENTENCE

_QUOTES = re.compile('["“”«»]')
_MARKS = re.compile(r"[.!?…]*$")
_ABBREVIATION = re.compile(
    r"(?<!\w)(?:[a-z]|Mr|Mrs|Ms|Dr|St|Mt|Ft|Prof|Gen|Sgt|No|Nos|vs|ca|approx)\.$", re.IGNORECASE
)
"""Before a name or a number, mostly."""
_REACH = 20
"""Characters before the end of a sentence that are looked at."""


class Statement(NamedTuple):
    """A sentence, or one of its parts that semicolons separate."""

    text: str
    mark: str
    """What stands between it and the next part, or ends its sentence; "" if that is in `text`."""
    sentence: int


def statements(caption: str) -> tuple[Statement, ...]:
    """Returns the statements of a caption on one line, in order.

    These are its sentences, as `SENTENCE` finds them; one that seems to end with an abbreviation
    goes on. Semicolons separate parts, and where they do, so does a colon before the first item:
    "Two things: a mug; a hat." has three. Sentences with quotation marks are not parted.
    """
    return tuple(
        Statement(text, mark, number)
        for number, sentence in enumerate(_sentences(caption))
        for text, mark in _parts(sentence)
    )


def caption_of(made: Sequence[Statement], left: Sequence[bool]) -> str:
    """Returns the caption of those statements of `made` that are `left`, verbatim.

    What has come to begin a sentence gets a capital, what has come to end it the sentence's mark.
    """
    pairs = zip(made, left, strict=True)
    sentences = (
        _sentence([one for one, _ in parts], [one for one, stays in parts if stays])
        for parts in (list(group) for _, group in groupby(pairs, lambda pair: pair[0].sentence))
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _sentences(caption: str) -> Iterator[str]:
    start = 0
    for space in SENTENCE.finditer(caption):
        if not _ABBREVIATION.search(caption, max(start, space.start() - _REACH), space.start()):
            yield caption[start : space.end()].rstrip()
            start = space.end()
    if start < len(caption):
        yield caption[start:]


def _parts(sentence: str) -> Iterator[tuple[str, str]]:
    """Yields the parts of a sentence, each with its mark."""
    if "; " not in sentence or _QUOTES.search(sentence):
        yield sentence, ""
        return
    marks = _MARKS.search(sentence)
    assert marks is not None
    first, *others = sentence[: marks.start()].split("; ")
    head, _, item = first.partition(": ")
    if item[:1].islower():
        yield head, ":"
        first = item
    for part in (first, *others[:-1]):
        yield part, ";"
    yield others[-1], marks[0]


def _sentence(parts: Sequence[Statement], left: Sequence[Statement]) -> str:
    if not left:
        return ""
    *before, last = left
    text = " ".join([*(one.text + one.mark for one in before), last.text + parts[-1].mark])
    return text if left[0] == parts[0] else text[:1].upper() + text[1:]
