"""From chunks to phrases: which are dropped and why, their wording, and their extent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from finehard.article import with_article
from finehard.phrases.chunks import Chunk, Tokens
from finehard.phrases.groundable import visible_noun
from finehard.phrases.lexicon import broader, category, compound_of
from finehard.phrases.marks import sentence_marks
from finehard.phrases.reasons import reason
from finehard.phrases.words import (
    ARTICLES,
    COMPANIONS,
    EMPTY_ADJECTIVES,
    GENERIC,
    MASS,
    MEN,
    NUMBERS,
    PERSONS,
    POSSESSIVES,
    QUANTITIES,
    UNITS,
    WATERS,
    WOMEN,
)

MAX_LONG_WORDS = 24

_PARTICIPLES = ("ing", "ed", "en", "wn", "ung", "ilt", "ut", "ade")
_AGAIN = frozenset(("the", "this", "that", "these", "those", "each", "its"))
"""Determiners that can refer to something named before."""
_CLAUSE_ENDS = frozenset(".!?;,")
_CLOSING = frozenset(".!?\"')]”’…")


@dataclass(frozen=True)
class Phrase:
    """An object named in the caption, worded for the detector.

    `text` has an indefinite article or a number ("a brown leather bag"); `head` is the lemma of its
    head noun; `long` adds the modifiers after it, if any ("... hanging from the chair"). `start`
    and `end` are the character offsets of the short phrase in the caption.
    """

    text: str
    head: str
    long: str
    start: int
    end: int


@dataclass(frozen=True)
class Extraction:
    """Phrases in text order, and the noun phrases that each rule dropped."""

    phrases: list[Phrase]
    dropped: dict[str, list[str]]


def _with_article(tokens: Tokens, one: Chunk, core: str) -> str:
    """Returns `core` with an indefinite article, if its head is singular and countable."""
    # The syntactic head decides: "a pair of shoes" takes an article though shoes do not.
    if tokens.plural[one.head] or tokens.tags[one.head] == "PROPN":
        return core
    if core.startswith("other "):
        return f"the {core}"
    if core.startswith("another "):
        return core
    # Countable if counted in the caption: "a cloth", but "the water" becomes "water".
    counted = tokens.lower[one.start] in ("a", "an", "each", "another", "one")
    if not counted and tokens.lemmas[one.head] in MASS and tokens.lemmas[one.head] not in UNITS:
        return core
    return with_article(core)


def _surface(tokens: Tokens, start: int, end: int) -> str:
    """Returns tokens as one line of text, spaced as in the caption, in lower case except names."""
    parts: list[str] = []
    for i in range(start, end):
        apart = i > start and tokens.start[i] > tokens.start[i - 1] + len(tokens.text[i - 1])
        parts.append(" " if apart else "")
        parts.append(tokens.text[i] if tokens.tags[i] == "PROPN" else tokens.lower[i])
    return "".join(parts)


def _core(tokens: Tokens, one: Chunk) -> tuple[str, int]:
    """Returns the number or quantity that begins the phrase ("two", "a few", or ""), and the first
    token of the rest."""
    lead = ""
    i = one.start
    while i < one.head:
        word = tokens.lower[i]
        if word == "another":
            break
        if word == "both":
            lead = "two"
        elif word in QUANTITIES:
            lead = "a few" if word == "few" else word
        elif word in NUMBERS or tokens.tags[i] == "NUM":
            lead = word
        elif not (
            word in ARTICLES
            or word in POSSESSIVES
            or word in EMPTY_ADJECTIVES
            or tokens.tags[i] == "DET"
        ):
            break
        i += 1
    return lead, i


def _wording(tokens: Tokens, one: Chunk) -> tuple[str, str]:
    """Returns the phrase for the detector, and the same without article and number."""
    lead, first = _core(tokens, one)
    core = _surface(tokens, first, one.end)
    if lead:
        return f"{lead} {core}", core
    if "'s " in core or "’s " in core or "s' " in core:
        if tokens.plural[first]:
            return core, core
        return _with_article(tokens, Chunk(first, one.end, first), core), core
    return _with_article(tokens, one, core), core


def _verb_before(tokens: Tokens, i: int) -> bool:
    """Whether a verb precedes token `i` in its clause."""
    while i and tokens.lower[i - 1] not in _CLAUSE_ENDS:
        i -= 1
        if tokens.tags[i] in ("VERB", "AUX"):
            return True
    return False


def _long_end(tokens: Tokens, one: Chunk, ends: dict[int, int], verb_before: bool) -> int:
    """Returns the end of the longest expression that modifies the noun.

    A prepositional phrase modifies the noun if no verb precedes it in the clause. After a verb only
    "of", "with" and participles do: in "holds a cup in his hand", "in" modifies the verb.
    """
    end, limit = one.end, min(len(tokens), one.start + MAX_LONG_WORDS)
    participle = False
    i = end
    while i < limit:
        tag, word = tokens.tags[i], tokens.lower[i]
        clause = tag == "VERB" and word.endswith(_PARTICIPLES)
        if clause and not participle and i == end:
            participle = True
            i += 1
            while i < limit and tokens.tags[i] == "ADV":
                i += 1
            if i in ends and ends[i] <= limit:
                end = i = ends[i]
            elif i < limit and tokens.tags[i] != "ADP":
                break
            continue
        if tag != "ADP" or (word not in ("of", "with") and verb_before and not participle):
            break
        i += 1
        while i < limit and tokens.tags[i] == "ADP":
            i += 1
        if i not in ends or ends[i] > limit:
            break
        end = i = ends[i]
    return end


def _is_person(noun: str) -> bool:
    return noun in PERSONS or category(noun) == "p"


def _several(tokens: Tokens, one: Chunk) -> bool:
    return tokens.plural[one.head] or tokens.lemmas[one.head] == "people"


def _refers_back(head: str, kinds: set[str], heads: Iterable[str]) -> bool:
    """Whether "the `head`" can refer to one of `heads`, whose hypernyms are `kinds`."""
    if head in kinds or f"{head}top" in heads:  # "the counter" after "a marble countertop"
        return True
    if any(compound_of(known, head) for known in heads):
        return True
    if head in GENERIC and any(heads):
        return True
    others = WOMEN if head in MEN else MEN if head in WOMEN else frozenset()
    return head in PERSONS and any(w not in others and _is_person(w) for w in heads)


def _refers_by_role(tokens: Tokens, one: Chunk, seen: Collection[str]) -> bool:
    """Whether a bare noun refers by its role to something named before by its kind.

    For example "his companion" after "two men", "the water" after "a river".
    """
    lemma = tokens.lemmas[one.head]
    if lemma == "water":
        return not WATERS.isdisjoint(seen)
    owned = tokens.lower[one.start] in POSSESSIVES
    return lemma in COMPANIONS and owned and any(map(_is_person, seen))


def _apposition(tokens: Tokens, one: Chunk, before: Chunk | None) -> bool:
    """Whether a chunk is an apposition to a person: "the driver, a blond woman in red"."""
    if before is None or before.head < 0 or before.end != one.start - 1:
        return False
    named, again = tokens.lemmas[before.head], tokens.lemmas[one.head]
    return (
        tokens.lower[before.end] == ","
        and again in PERSONS
        and named not in PERSONS
        and category(named) == "p"
        and tokens.lower[one.start] in ("a", "an")
        and tokens.lower[one.end : one.end + 1] in (["with"], ["in"], ["who"], ["wearing"])
    )


def _listed_again(tokens: Tokens, chunks: list[Chunk]) -> set[int]:
    """Returns the starts of chunks that list the persons before: "two people, a man and a boy,"."""
    starts: set[int] = set()
    for group, first, second in zip(chunks, chunks[1:], chunks[2:], strict=False):
        if min(group.head, first.head, second.head) < 0 or not _several(tokens, group):
            continue
        between = tokens.lower[group.end : first.start], tokens.lower[first.end : second.start]
        nouns = (tokens.lemmas[one.head] for one in (group, first, second))
        closed = tokens.lower[second.end : second.end + 1] == [","]
        if closed and between == ([","], ["and"]) and all(map(_is_person, nouns)):
            starts |= {first.start, second.start}
    return starts


def select(
    tokens: Tokens, chunks: Iterable[Chunk], terminated: bool, max_phrases: int
) -> Extraction:
    """Returns the phrases. Every chunk either becomes a phrase or is dropped by one rule.

    If the text is not `terminated`, the captioner reached its token limit, and the last phrase may
    be incomplete.
    """
    chunks = list(chunks)
    marks = sentence_marks(tokens)
    listed = _listed_again(tokens, chunks)
    ends = {one.start: one.end for one in chunks if one.head >= 0}
    dropped: dict[str, list[str]] = {}

    def drop(rule: str, one: Chunk) -> None:
        dropped.setdefault(rule, []).append(_surface(tokens, one.start, one.end))

    phrases: list[Phrase] = []
    seen: dict[str, list[set[str]]] = {}
    kinds: set[str] = set()
    inner: set[str] = set()
    for before, one in zip([None, *chunks], chunks, strict=False):
        rule = reason(tokens, one, marks, terminated)
        if not rule and (one.start in listed or _apposition(tokens, one, before)):
            rule = "named_again"
        if rule:
            drop(rule, one)
            continue
        text, core = _wording(tokens, one)
        noun = visible_noun(tokens, one)
        words = set(core.split()) - {tokens.lower[noun]}
        head = tokens.lemmas[noun]
        again = tokens.lower[one.start] in _AGAIN
        if any(words == w or again and words <= w for w in seen.get(head, ())):
            drop("duplicate", one)
            continue
        if not words and _refers_by_role(tokens, one, seen):
            drop("named_again", one)
            continue
        if again and not words and (head in inner or _refers_back(head, kinds, seen)):
            # "The dog" after "a golden retriever", "the boat" after "a sailboat".
            drop("named_again", one)
            continue
        if len(phrases) >= max_phrases:
            drop("over_limit", one)
            continue
        seen.setdefault(head, []).append(words)
        if one.unit >= 0:
            inner.add(tokens.lemmas[one.end - 1])
        kinds.update(broader(head))
        end = _long_end(tokens, one, ends, _verb_before(tokens, one.start))
        long = text + (" " + _surface(tokens, one.end, end) if end > one.end else "")
        last = one.end - 1
        phrases.append(
            Phrase(
                text,
                head,
                long,
                tokens.start[one.start],
                tokens.start[last] + len(tokens.text[last]),
            )
        )
    return Extraction(phrases, dropped)


def is_terminated(text: str) -> bool:
    """Whether the text ends with a sentence's final punctuation."""
    return text.rstrip()[-1:] in _CLOSING
