"""Base noun phrases of a tagged text, as half-open ranges of tokens."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.phrases.kinds import UNGROUNDABLE
from finehard.phrases.lexicon import category
from finehard.phrases.words import AMOUNTS, COLORS, DEPICTIONS, LOOKS, MATERIALS, POSSESSIVES, UNITS

_MIDDLE = frozenset({"ADJ", "NOUN", "PROPN", "NUM"})
_NOUNS = frozenset({"NOUN", "PROPN"})
_SPECIFIERS = frozenset({"DET", "NUM"})
MAX_TOKENS = 24
"""Longer noun phrases are cut, which bounds the time of a long list of adjectives."""


@dataclass(frozen=True)
class Tokens:
    """A tagged text as parallel lists, one item per token."""

    lower: list[str]
    text: list[str]
    tags: list[str]
    lemmas: list[str]
    plural: list[bool]
    start: list[int]
    """Character offset of each token."""

    def __len__(self) -> int:
        return len(self.lower)


@dataclass(frozen=True)
class Chunk:
    """Tokens `start` to `end` (exclusive); `head` is the head noun, -1 if it is missing.

    `unit` is the end of "pair of" in "pair of shoes", else -1.
    """

    start: int
    end: int
    head: int
    unit: int = -1


def _attributive(tokens: Tokens, start: int) -> bool:
    """Whether adjectives without an article modify the noun after them ("with long, curved tusks").

    They do after a preposition or a verb with an object, not after "is" or "looks" ("the walls are
    high, white clouds ...").
    """
    before = start - 1
    if before < 0 or tokens.lower[before] == ".":
        return True
    transitive = tokens.tags[before] == "VERB" and tokens.lemmas[before] not in LOOKS
    return tokens.tags[before] == "ADP" or transitive or tokens.lemmas[before] in ("has", "have")


def _next_adjective(tokens: Tokens, i: int, specified: bool, listed: bool) -> int:
    """Returns the adjective after ",", "and" or ", and" at `i`, or -1.

    "A big, red ball", "a black and white dog", "orange, yellow, and red leaves". `listed`: a comma
    came before, so ", and" may end the list.
    """
    if tokens.lower[i] not in (",", "and", "or") or tokens.tags[i - 1] != "ADJ":
        return -1
    i += 1
    if listed and tokens.lower[i - 1] == "," and tokens.lower[i : i + 1] in (["and"], ["or"]):
        i += 1
    if tokens.tags[i : i + 1] in (["ADJ"], ["ADV"]):
        return i
    # "A large, metal box": the article still lacks its noun; but "is a bright white, trees ..."
    noun = tokens.tags[i : i + 1] == ["NOUN"] and tokens.lower[i - 1] == "," and specified
    return i if noun and tokens.lower[i - 2] not in COLORS else -1


def _two_materials(tokens: Tokens, i: int) -> bool:
    """Whether "and" at `i` joins two materials before a noun: "a brick and stone wall"."""
    if tokens.lower[i] != "and" or tokens.tags[i + 1 : i + 3] != ["NOUN", "NOUN"]:
        return False
    return tokens.lower[i - 1] in MATERIALS and tokens.lower[i + 1] in MATERIALS


def _numbered(tokens: Tokens, i: int) -> bool:
    """Whether the number `i` is part of a name: "a type 2 van"."""
    inside = tokens.tags[i] == "NUM" and tokens.text[i].isdigit() and not tokens.plural[i - 1]
    return inside and tokens.tags[i + 1 : i + 2] in (["NOUN"], ["PROPN"])


def _goes_on(tokens: Tokens, i: int) -> bool:
    """Whether adjectives at `i`, after a noun, lead to the noun that this one modifies: "a vintage
    wooden chair", "a slate grey, slim-fitting suit"."""
    first = i
    while tokens.tags[i : i + 1] == ["ADJ"]:
        i += 1
        i += tokens.lower[i : i + 1] == [","] and tokens.tags[i + 1 : i + 2] == ["ADJ"]
    return i > first and tokens.tags[i : i + 1] == ["NOUN"]


def _one(tokens: Tokens, start: int) -> Chunk | None:
    """Returns the base noun phrase that begins at `start`, or None."""
    tags, size = tokens.tags, min(len(tokens), start + MAX_TOKENS)
    i = start
    while i < size and tags[i] in _SPECIFIERS:
        i += 1
    specified = i > start
    last = -1
    modified = False
    while i < size:
        tag = tags[i]
        if last == i - 1 and last >= 0 and specified and _numbered(tokens, i):
            pass
        elif tag in _MIDDLE:
            last = i if tag in _NOUNS else last
            if last >= 0 and tag not in _NOUNS:
                if not (i == start + 2 and tokens.lower[start] in ("a", "an")):
                    break
                if not _goes_on(tokens, i):
                    break
                last = -1
            modified = True
        elif tag == "ADV" and last < 0 and i + 1 < size and tags[i + 1] in ("ADJ", "ADV"):
            pass
        elif tag == "PART" and last == i - 1 and tokens.lower[i] != "to" and i + 1 < size:
            if tags[i + 1] not in _MIDDLE:
                break
            last = -1
        elif last == i - 1 and last >= 0 and _two_materials(tokens, i):
            last = -1
        elif (
            last < 0
            and modified
            and (following := _next_adjective(tokens, i, specified, "," in tokens.lower[start:i]))
            >= 0
            and (specified or _attributive(tokens, start))
        ):
            i = following
            continue
        else:
            break
        i += 1
    if last >= 0:
        return Chunk(start, last + 1, last)
    if specified and modified and tags[i - 1] == "ADJ":
        return Chunk(start, i, -1)
    return None


def chunk(tokens: Tokens) -> list[Chunk]:
    """Returns base noun phrases by tags alone, from left to right, without overlap."""
    chunks = []
    i = 0
    starts = _SPECIFIERS | _MIDDLE | {"ADV"}
    while i < len(tokens):
        one = _one(tokens, i) if tokens.tags[i] in starts else None
        if one:
            chunks.append(one)
            i = one.end
        else:
            i += 1
    return chunks


def _partitive(tokens: Tokens, first: Chunk, second: Chunk) -> bool:
    """Whether "X of Y" is a partitive: an indefinite measure of a noun without an article.

    "A plume of smoke" and "traces of chocolate" are; persons ("a lover of books"), depictions ("a
    photo of mountains") and qualities ("a jacket of good quality") are not.
    """
    lemma, word = tokens.lemmas[first.head], tokens.lower[first.start]
    indefinite = tokens.tags[first.start] != "DET" or word not in ("the", "this", "that", "these")
    if not indefinite or word in POSSESSIVES or lemma in DEPICTIONS or category(lemma) == "p":
        return False
    return lemma not in UNGROUNDABLE and tokens.lemmas[second.head] not in UNGROUNDABLE


def _names_amount(tokens: Tokens, first: Chunk, second: Chunk) -> bool:
    """Whether "X of Y" stays whole though X only quantifies: "four kinds of buns"."""
    natural = category(tokens.lemmas[second.head]) == "o"
    return tokens.tags[first.start] == "NUM" or tokens.lemmas[first.head] == "range" and natural


def join_units(tokens: Tokens, chunks: list[Chunk]) -> list[Chunk]:
    """Joins "a pair" + "of" + "shoes"; reduces "a variety of fruits" to "fruits"."""
    joined: list[Chunk] = []
    for one in chunks:
        before = joined[-1] if joined else None
        if before and before.head >= 0 and one.start == before.end + 1:
            lemma = tokens.lemmas[before.head]
            bare = tokens.tags[one.start] != "DET" and tokens.lower[one.start] not in POSSESSIVES
            if tokens.lower[before.end] == "of" and one.head >= 0 and before.unit < 0:
                if lemma in AMOUNTS and not _names_amount(tokens, before, one):
                    joined[-1] = one
                    continue
                # An indefinite whole stays with its parts: "facades of old buildings".
                part = tokens.plural[before.head] and tokens.plural[one.head]
                part = part and lemma not in DEPICTIONS
                part = part and tokens.lemmas[one.head] not in UNGROUNDABLE
                if bare and (
                    lemma in UNITS or lemma in AMOUNTS or part or _partitive(tokens, before, one)
                ):
                    joined[-1] = Chunk(before.start, one.end, before.head, one.start)
                    continue
        joined.append(one)
    return joined
