"""Base noun phrases of a tagged text, as half-open token ranges."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.phrases.lexicon import category
from finehard.phrases.words import AMOUNTS, DEPICTIONS, POSSESSIVES, UNGROUNDABLE, UNITS

_MIDDLE = frozenset({"ADJ", "NOUN", "PROPN", "NUM"})
_NOUNS = frozenset({"NOUN", "PROPN"})
_SPECIFIERS = frozenset({"DET", "NUM"})


@dataclass(frozen=True)
class Tokens:
    """A tagged text as parallel lists: what every later rule reads."""

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
    """Tokens `start` to `end` (exclusive). `head` is the head noun, -1 where the noun is missing.

    `unit` is the end of the "pair of" part of "pair of shoes", else -1.
    """

    start: int
    end: int
    head: int
    unit: int = -1


def _attributive(tokens: Tokens, start: int) -> bool:
    """Whether adjectives without an article stand before a noun ("with long, curved tusks"), not
    after "is" or a noun ("the walls are high, white clouds ..."): a preposition or "has" governs
    them."""
    before = start - 1
    if before < 0 or tokens.lower[before] == ".":
        return True
    return tokens.tags[before] == "ADP" or tokens.lemmas[before] in ("has", "have", "wear")


def _one(tokens: Tokens, start: int) -> Chunk | None:
    """The base noun phrase that begins at `start`, if one does."""
    tags, size = tokens.tags, len(tokens)
    i = start
    while i < size and tags[i] in _SPECIFIERS:
        i += 1
    specified = i > start
    last = -1
    modified = False
    while i < size:
        tag = tags[i]
        if tag in _MIDDLE:
            last = i if tag in _NOUNS else last
            if last >= 0 and tag not in _NOUNS:
                break
            modified = True
        elif tag == "ADV" and last < 0 and i + 1 < size and tags[i + 1] in ("ADJ", "ADV"):
            pass
        elif tag == "PART" and last == i - 1 and tokens.lower[i] != "to" and i + 1 < size:
            if tags[i + 1] not in _MIDDLE:
                break
            last = -1
        elif (
            tokens.lower[i] in (",", "and")
            and last < 0
            and modified
            and i + 1 < size
            and tags[i - 1] == "ADJ"
            and tags[i + 1] in ("ADJ", "ADV")
            and (specified or _attributive(tokens, start))
        ):
            # "a big, red ball", "a black and white dog"
            pass
        else:
            break
        i += 1
    if last >= 0:
        return Chunk(start, last + 1, last)
    if specified and modified and tags[i - 1] == "ADJ":
        return Chunk(start, i, -1)
    return None


def chunk(tokens: Tokens) -> list[Chunk]:
    """Base noun phrases from left to right, by the tags alone. They do not overlap."""
    found = []
    i = 0
    starts = _SPECIFIERS | _MIDDLE | {"ADV"}
    while i < len(tokens):
        one = _one(tokens, i) if tokens.tags[i] in starts else None
        if one:
            found.append(one)
            i = one.end
        else:
            i += 1
    return found


def _partitive(tokens: Tokens, first: Chunk, second: Chunk) -> bool:
    """Whether "a plume of smoke", "traces of chocolate": an indefinite noun measures out a noun
    without article. Persons ("a lover of books") and depictions ("a photo of mountains") do not,
    nor is anything measured by a quality ("a jacket of good quality").
    """
    lemma, word = tokens.lemmas[first.head], tokens.lower[first.start]
    indefinite = tokens.tags[first.start] != "DET" or word not in ("the", "this", "that", "these")
    if not indefinite or word in POSSESSIVES or lemma in DEPICTIONS or category(lemma) == "p":
        return False
    return lemma not in UNGROUNDABLE and tokens.lemmas[second.head] not in UNGROUNDABLE


def join_units(tokens: Tokens, chunks: list[Chunk]) -> list[Chunk]:
    """Joins "a pair" + "of" + "shoes"; makes of "a variety of fruits" just "fruits"."""
    joined: list[Chunk] = []
    for one in chunks:
        before = joined[-1] if joined else None
        if before and before.head >= 0 and one.start == before.end + 1:
            lemma = tokens.lemmas[before.head]
            bare = tokens.tags[one.start] != "DET" and tokens.lower[one.start] not in POSSESSIVES
            if tokens.lower[before.end] == "of" and one.head >= 0 and before.unit < 0:
                if lemma in AMOUNTS:
                    joined[-1] = one
                    continue
                # A whole that is not told apart stays with its part: "facades of old buildings".
                part = tokens.plural[before.head] and tokens.plural[one.head]
                part = part and lemma not in DEPICTIONS
                part = part and tokens.lemmas[one.head] not in UNGROUNDABLE
                if bare and (lemma in UNITS or part or _partitive(tokens, before, one)):
                    joined[-1] = Chunk(before.start, one.end, before.head, one.start)
                    continue
        joined.append(one)
    return joined
