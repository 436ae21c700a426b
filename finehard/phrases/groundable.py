"""Whether the head of a noun phrase is something that can be boxed."""

from __future__ import annotations

from finehard.phrases.chunks import Chunk, Tokens
from finehard.phrases.kinds import (
    COUNTS_ONLY,
    GROUNDABLE,
    GROUNDABLE_PAIRS,
    NOTES,
    OBJECTS_IF_SPECIFIED,
    OUTLINES,
    OUTSIDE,
    PATTERNED,
    TIMES,
    UNGROUNDABLE,
    VAGUE,
)
from finehard.phrases.lexicon import category, physical
from finehard.phrases.words import AMOUNTS, COLLECTIVES, COLORS


def visible_noun(tokens: Tokens, one: Chunk) -> int:
    """Returns the token of the visible object: "shoes" in "a pair of shoes", "cup" in "cup of tea".

    For a unit that is not an object itself ("a trail of footprints") it is the noun after "of".
    """
    unit = tokens.lemmas[one.head]
    if one.unit >= 0 and (unit in COLLECTIVES or unit not in GROUNDABLE and not physical(unit)):
        return one.end - 1
    return one.head


def _counts(tokens: Tokens, one: Chunk, lemma: str) -> bool:
    """Whether a noun only counts or measures: "hang in a row", "patches of sunlight"."""
    if one.unit >= 0:
        return tokens.lemmas[one.end - 1] in UNGROUNDABLE and not tokens.plural[one.end - 1]
    specified = one.head > one.start and tokens.tags[one.head - 1] in ("ADJ", "NOUN")
    return lemma in AMOUNTS or lemma in COUNTS_ONLY and not specified


def _measures(tokens: Tokens, one: Chunk) -> bool:
    """Whether a bare noun measures something that cannot be boxed: "a pop of color"."""
    i = one.end
    if one.end - one.start > 2 or tokens.plural[one.head] or tokens.lower[i : i + 1] != ["of"]:
        return False
    i += 1
    while tokens.tags[i : i + 1] in (["DET"], ["ADJ"], ["NUM"]):
        i += 1
    while tokens.tags[i + 1 : i + 2] == ["NOUN"]:
        i += 1
    return i < len(tokens) and tokens.tags[i] == "NOUN" and tokens.lemmas[i] in UNGROUNDABLE


def _is_specified(tokens: Tokens, one: Chunk, lemma: str) -> bool:
    """Whether a modifier makes a vague noun an object: "a sleeveless top", not "the top"."""
    alone = one.head == one.start
    before = "" if alone else tokens.lower[one.head - 1]
    named = not alone and tokens.tags[one.head - 1] == "NOUN"
    modified = named or not alone and tokens.tags[one.head - 1] == "ADJ"
    several, of = tokens.plural[one.head], tokens.lower[one.end : one.end + 1] == ["of"]
    match lemma:
        case "design":
            return several or named or before in PATTERNED or before in COLORS
        case "light":
            return not of and (named and before not in TIMES or several and before != "the")
        case "character" | "number":
            return several and modified
        case "lot":
            return named
        case "pattern":
            return modified and before not in VAGUE
    return lemma in OBJECTS_IF_SPECIFIED and not of and modified and before not in VAGUE


def _is_outside(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk belongs to someone or something outside the image: "the viewer's eye"."""
    owned = one.end - one.start > 3 and tokens.tags[one.start + 2] == "PART"
    return owned and tokens.lemmas[one.start + 1] in OUTSIDE


def _is_vague(tokens: Tokens, one: Chunk, lemma: str) -> bool:
    """Whether a head noun names no object in this context: "in various spots", "the text"."""
    words, after = tokens.lower[one.start : one.end], tokens.lower[one.end : one.end + 1]
    if lemma in OUTLINES and after == ["of"]:
        return True
    if lemma == "spot" and one.start and tokens.lower[one.start - 1] in ("in", "at"):
        return True
    if lemma in NOTES and words == ["the", tokens.lower[one.head]]:
        return True
    if lemma in COLORS and tokens.plural[one.head] and category(lemma) != "k":
        return True  # "whites and grays"
    return lemma in UNGROUNDABLE and (lemma != "camera" or words[0] == "the")


def invisible(tokens: Tokens, one: Chunk) -> str:
    """Returns "ungroundable" or "abstract" if the head noun cannot be boxed, else ""."""
    noun = visible_noun(tokens, one)
    lemma = tokens.lemmas[noun]
    pair = f"{tokens.lower[noun - 1]} {lemma}" if noun > one.start else ""
    if pair in GROUNDABLE_PAIRS or _is_specified(tokens, one, lemma):
        return ""
    last = lemma.rsplit("-", 1)[-1] or lemma  # "a low-angle", "a close-up", "mid-30s"
    if not (lemma[:1].isalpha() and last[:1].isalpha() and len(lemma) > 1):
        return "ungroundable"
    if _counts(tokens, one, lemma) or _measures(tokens, one) or _is_outside(tokens, one):
        return "ungroundable"
    if _is_vague(tokens, one, last):
        return "ungroundable"
    visible = last in GROUNDABLE or tokens.lower[noun] in GROUNDABLE
    return "" if visible or physical(last) else "abstract"
