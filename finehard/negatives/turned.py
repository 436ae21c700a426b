"""Relations in running text, replaced by what excludes them, or with their sides exchanged.

A relation is turned only between two things that are named on both sides of it, so that "on the
table" becomes "under the table", but "on a sunny day" and "on the left side" stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from finehard.digest import number
from finehard.negatives.falsehood import Falsehood, is_thing, sentences
from finehard.negatives.heads import Word, words
from finehard.negatives.listed import listed
from finehard.negatives.other_kinds import ACTIONS, exchanged_case
from finehard.phrases.lexicon import reading

_PAIRS = (
    ("on top of", "under"), ("in front of", "behind"), ("behind", "in front of"),
    ("to the left of", "to the right of"), ("to the right of", "to the left of"),
    ("above", "below"), ("below", "above"), ("underneath", "on top of"), ("beneath", "on top of"),
    ("under", "on top of"), ("on", "under"), ("inside", "outside"),
)  # fmt: skip
"""Relations and what excludes each. "on" stands after those that it begins."""
_RELATIONS = tuple((tuple(old.split()), new) for old, new in _PAIRS)
_POSTURES = listed(
    "is are sits sitting stands standing lies lying rests resting placed parked perched seated "
    "positioned located situated set laid"
)
"""Words that may stand between a thing and where it is."""
_MORE = listed("another other second third fourth remaining last next")
_LETTERS = re.compile(r"[a-z]+")
_SHOWS = listed("is are shows features depicts captures displays")
_ARTICLES = listed("a an the")
_LEADING = listed("a an the one two three four his her its their several some")
_SIDE = re.compile(
    r"\b(?:on|to|toward|towards|in|at|from) the (?:(?:far|upper|lower|bottom|top|very) )?"
    r"(left|right)(?=(?: (?:side|edge|corner|half|part|portion|end)\b)?(?: of\b|[,.;]|$))",
    re.IGNORECASE,
)
_OTHER = {"left": "right", "right": "left"}
_HANDS = re.compile(r"\b(left|right)(?:most)?\b|\bboth (?:sides|ends)\b|\beither side\b", re.I)


class _Thing(NamedTuple):
    """A noun phrase of a sentence: the places of its first and last word, one past."""

    start: int
    end: int


def turned(text: str, most: int) -> list[Falsehood]:
    """Returns `text` with one relation turned round, up to `most` ways, chosen by hash."""
    made = list({one.text: one for one in _all(text)}.values())
    made.sort(key=lambda one: (number(f"turned {one.text}"), one.text))
    return made[:most]


def _all(text: str) -> Iterator[Falsehood]:
    for start, end in sentences(text):
        sentence = text[start:end]
        for a, b, new, claim in _changes(text, sentence):
            yield Falsehood(
                f"{text[: start + a]}{new}{text[start + b :]}",
                "relation",
                sentence[a:b],
                new,
                claim or f"{sentence[:a]}{new}{sentence[b:]}",
            )


_Change = tuple[int, int, str, str]
"""Start and end of what is replaced in a sentence, what stands there instead, and the claim; ""
where that is the sentence."""


def _changes(text: str, sentence: str) -> Iterator[_Change]:
    several = frozenset(_several(text))
    yield from _opposed(sentence, several)
    yield from _exchanged(sentence)
    yield from _sides(text, sentence)


def _several(text: str) -> Iterator[str]:
    """Yields the nouns of which a text names several, so that one more may stand elsewhere."""
    before = ""
    for match in _LETTERS.finditer(text.lower()):
        read = reading(match[0])
        if read.noun and (read.plural or before in _MORE):
            yield read.noun
        before = match[0]


def _opposed(sentence: str, several: frozenset[str]) -> Iterator[_Change]:
    """Yields a change for each relation between two things, one of `several` left out."""
    found = words(sentence)
    lower = [word.lower for word in found]
    place = 0
    while place < len(found):
        for parts, new in _RELATIONS:
            end = place + len(parts)
            if tuple(lower[place:end]) != parts:
                continue
            first, second = _before(sentence, found, place), _after(found, end)
            if first and second and not _any_of(found, (first, second), several):
                a, b = found[place].start, found[end - 1].end
                stop = found[second.end - 1].end
                head = sentence[found[first.start].start : a]
                yield a, b, new, f"{head}{new}{sentence[b:stop]}"
            place = end - 1
            break
        place += 1


def _exchanged(sentence: str) -> Iterator[_Change]:
    """Yields a change for each action between two things of one noun each, both in the singular."""
    found = words(sentence)
    for place, word in enumerate(found):
        if word.lower not in ACTIONS:
            continue
        first = _before(sentence, found, place, _ARTICLES, listed("is"))
        second = _after(found, place + 1, _ARTICLES)
        if not (first and second and _ends_there(found, second) and _begins(found, first)):
            continue
        if any(reading(found[thing.end - 1].lower).plural for thing in (first, second)):
            continue
        a, b = found[first.start].start, found[second.end - 1].end
        left = sentence[a : found[first.end - 1].end]
        right = sentence[found[second.start].start : b]
        between = sentence[found[first.end - 1].end : found[second.start].start]
        if left.lower() == right.lower():
            continue
        left, right = exchanged_case(left, right)
        new = f"{right}{between}{left}"
        yield a, b, new, new


def _sides(text: str, sentence: str) -> Iterator[_Change]:
    """Yields left for right and right for left, where the text says it of one place only."""
    if len(_HANDS.findall(text)) != 1:
        return
    for match in _SIDE.finditer(sentence):
        new = _OTHER[match[1].lower()]
        yield *match.span(1), new, ""


def _before(
    sentence: str,
    found: Sequence[Word],
    place: int,
    articles: frozenset[str] = _LEADING,
    skipped: frozenset[str] = _POSTURES,
) -> _Thing | None:
    """Returns the thing that is named before `place`, words between them `skipped`."""
    end = place
    while end and found[end - 1].lower in skipped:
        end -= 1
    if not end:
        return None
    found = words(sentence[: found[end - 1].end])  # a verb is no part of what stands before it
    start = end
    while start and found[start - 1].group == found[end - 1].group >= 0:
        start -= 1
    start -= start > 0 and found[start - 1].lower in articles
    return _thing(found, start, end, articles)


def _after(found: Sequence[Word], place: int, articles: frozenset[str] = _LEADING) -> _Thing | None:
    """Returns the thing whose article stands at `place`."""
    end = place + 1
    while end < len(found) and not found[end - 1].head and found[end].group >= 0:
        end += 1
    return _thing(found, place, end, articles) if place < len(found) else None


def _thing(found: Sequence[Word], start: int, end: int, articles: frozenset[str]) -> _Thing | None:
    """Returns these words if they are an article, attributes and one noun, a physical thing."""
    last = found[end - 1]
    if end - start < 2 or found[start].lower not in articles or not last.head:
        return None
    if sum(word.head for word in found[start:end]) != 1 or not is_thing(last.lower):
        return None
    noun = reading(last.lower).noun or last.lower
    return _Thing(start, end) if is_thing(noun) else None


def _any_of(found: Sequence[Word], things: Sequence[_Thing], several: frozenset[str]) -> bool:
    """Whether one of the things is any one of several: "a can", where there are three cans."""
    return any(
        found[thing.start].lower in ("a", "an")
        and reading(found[thing.end - 1].lower).noun in several
        for thing in things
    )


def _begins(found: Sequence[Word], thing: _Thing) -> bool:
    """Whether a thing is what the sentence or clause is about: "in a red coat" is not."""
    before = found[thing.start - 1].lower if thing.start else "."
    return not before[0].isalnum() or before in _SHOWS


def _ends_there(found: Sequence[Word], thing: _Thing) -> bool:
    """Whether no further noun belongs to the phrase: "a dog and a cat", "a cup of tea"."""
    following = found[thing.end].lower if thing.end < len(found) else ""
    return following not in ("and", "or", "of", "&", "/", "'s")
