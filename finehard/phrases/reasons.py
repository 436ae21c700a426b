"""The named rules by which noun phrases are dropped."""

from __future__ import annotations

from finehard.phrases.chunks import Chunk, Tokens
from finehard.phrases.groundable import invisible
from finehard.phrases.kinds import BARE_CATEGORIES, GROUNDABLE, UNGROUNDABLE
from finehard.phrases.lexicon import category, venue
from finehard.phrases.words import (
    COATS,
    COLORS,
    GUESSES,
    LOOKS,
    MAKES,
    MASS,
    MEDIA,
    NOT_HEADS,
    NOT_VENUES,
    PARTS,
    PLACED,
    RELIEF,
    SETTING,
    SHADES,
    SHOWS,
    SITES,
    TITLES,
    UNSEEN,
    WITHIN,
    WRITES,
)

MAX_WORDS = 8
"""Longer noun phrases are lists or mistakes, which detectors handle badly."""
_BE = frozenset(("is", "are", "was", "were"))


def _place(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is the room or place of the whole scene: "in a classroom"."""
    before = tokens.lower[one.start - 1] if one.start else ""
    lemma = tokens.lemmas[one.head]
    if lemma == "corner" and one.head > one.start:  # "a street corner"
        lemma = tokens.lemmas[one.head - 1]
    if tokens.lower[max(0, one.start - 4) : one.start] == ["what", "appears", "to", "be"]:
        before = tokens.lower[one.start - 5] if one.start > 4 else ""  # "in what appears to be"
    if before == "of" and tokens.lemmas[one.start - 2] in ("interior", "inside"):
        return True  # of anything: "the interior of a vintage car"
    if tokens.plural[one.head] or lemma in NOT_VENUES or not (lemma in SITES or venue(lemma)):
        return False
    if tokens.lower[one.start : one.end] == ["the", tokens.lower[one.head]]:
        return True
    if one.start == 0 and tokens.tags[one.end : one.end + 1] == ["AUX"]:
        return tokens.lemmas[one.end + 1 : one.end + 2] in (["show"], ["see"], ["photograph"])
    if before == "of":
        return tokens.lemmas[one.start - 2] in UNGROUNDABLE - {"front", "side", "top", "back"}
    return before in WITHIN or (one.start > 0 and tokens.lemmas[one.start - 1] in SHOWS)


def _setting(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is an unspecific part of the surroundings: "on the wall".

    So is a medium: "in the water", "through the mist".
    """
    if tokens.lower[one.start] != "the" or one.end - one.start != 2:
        return False
    lemma = tokens.lemmas[one.head]
    kind = category(lemma)
    medium = kind in ("y", "q") and one.start > 0 and tokens.lower[one.start - 1] in MEDIA
    return lemma in SETTING or (medium or lemma in RELIEF) and not tokens.plural[one.head]


def _whole(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk only names the whole of a part: "at the top of the stairs"."""
    of = one.start > 1 and tokens.lower[one.start - 1] == "of"
    return of and one.end - one.start == 2 and tokens.lower[one.start] == "the"


def _material(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is what something is made of or drawn with: "upholstered in leather"."""
    if one.start < 2 or tokens.tags[one.start - 1] != "ADP":
        return False
    before, verb = tokens.lower[one.start - 1], tokens.lemmas[one.start - 2]
    if verb in MAKES and before in ("of", "from"):
        return True
    if before != "in" or not (verb in MAKES or verb in WRITES):
        return False
    return category(tokens.lemmas[one.head]) in ("y", "k") or tokens.lemmas[one.head] in MASS


def _substance(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is a bare mass noun that only describes an object: "stained with oil"."""
    lemma = tokens.lemmas[one.head]
    if one.end - one.start > 1 or tokens.plural[one.head]:
        return False
    coated = one.start > 1 and tokens.lemmas[one.start - 2] in COATS
    if coated and tokens.lower[one.start - 1] == "with":
        return True
    if lemma in GROUNDABLE:
        return False
    before = tokens.tags[one.start - 1] if one.start else ""
    located = tokens.tags[one.end : one.end + 1] == ["ADP"]  # "with dirt on its surface"
    return lemma == "water" or category(lemma) == "y" and before == "ADP" and not located


def _part_of(tokens: Tokens, one: Chunk) -> bool:
    """Whether a bare noun is a vague part of the noun after "of": "the foot of the bed"."""
    located = one.start > 0 and tokens.lower[one.start - 1] == "at"
    if not located and tokens.lemmas[one.head] not in PARTS:
        return False
    definite = one.end - one.start == 2 and tokens.lower[one.start] in ("the", "a", "an")
    return definite and tokens.lower[one.end : one.end + 1] == ["of"]


def _position(tokens: Tokens, one: Chunk) -> bool:
    """Whether a noun is specified only by its position: "the upper floor", "in one hand"."""
    words = tokens.lower[one.start : one.end]
    if words == ["one", "hand"] and one.start and tokens.lower[one.start - 1] in ("in", "with"):
        return tokens.tags[one.end : one.end + 1] != ["ADP"]
    if words[-1] == "foot" and one.start and tokens.lower[one.start - 1] == "with":
        return True  # "kicks with his right foot"
    return len(words) == 3 and words[0] == "the" and words[1] in PLACED


def _titled(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is the image itself: "A portrait of ...", "The image is a poster"."""
    if tokens.lemmas[one.head] not in TITLES:
        return False
    if one.start == 0:
        shows = tokens.lemmas[one.end : one.end + 1]
        return tokens.lower[one.end : one.end + 1] == ["of"] or not SHOWS.isdisjoint(shows)
    return (
        one.start < 4
        and tokens.lower[one.start - 1] in ("is", "shows")
        and (tokens.lemmas[one.start - 2] in TITLES)
    )


def _denied(tokens: Tokens, one: Chunk) -> bool:
    """Whether the caption says that an object is not visible, or that there are few."""
    words, after = tokens.lower[one.start : one.end], tokens.lower[one.end : one.end + 3]
    if (
        words[0] in ("no", "neither", "any", "few")
        or one.start > 0
        and (tokens.lower[one.start - 1] in ("fewer", "less"))
    ):
        return True
    if not UNSEEN.isdisjoint(words[:-1]):
        return True
    if after == ["can", "not", "be"]:
        return True
    hidden = after[1:2] in (["not"], ["n't"], ["barely"], ["hardly"]) and after[0] in _BE
    return hidden and after[2:] in (["visible"], ["seen"], ["shown"], ["present"], ["in"])


def _speculative(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is the subject of speculation: "which many families will recognize"."""
    after = tokens.lower[one.end : one.end + 2]
    if one.start > 0 and tokens.lower[one.start - 1] in GUESSES:
        return True
    return after[:1] in (["will"], ["would"], ["might"], ["may"]) and after[1:] != ["be"]


def _is_food(tokens: Tokens, one: Chunk) -> bool:
    """Whether "cream" or "orange" is food: "whipped cream", but "a bright orange"."""
    before = tokens.lower[one.end - 2] if one.end - one.start > 1 else ""
    tag = tokens.tags[one.end - 2] if before else ""
    return (
        tokens.lower[one.end - 1] in ("cream", "orange")
        and tag in ("ADJ", "NOUN")
        and not (before in COLORS or before in SHADES)
    )


def _bare_singular(tokens: Tokens, one: Chunk) -> bool:
    """Whether a singular countable noun has no article: an adjective, or part of a verb."""
    if tokens.lower[one.end - 1].rsplit("-", 1)[-1] in COLORS and not _is_food(tokens, one):
        return True  # "the carpet is light brown", "a patch of blue"
    before = tokens.tags[one.start - 1] if one.start else ""
    alone = one.end - one.start == 1 and not tokens.plural[one.head]
    if alone and (before == "AUX" or tokens.lemmas[one.start - 1] in ("look", "seem", "appear")):
        return True
    if one.end - one.start > 1 or tokens.plural[one.head] or tokens.tags[one.head] != "NOUN":
        return False
    if before == "CCONJ" and tokens.tags[one.start - 2] == "ADJ":
        predicate = tokens.lemmas[one.start - 3] in LOOKS or tokens.tags[one.start - 3] == "AUX"
        return predicate and tokens.tags[one.end : one.end + 1] == [
            "PUNCT"
        ]  # "looks clean and tidy."
    lemma = tokens.lemmas[one.head]
    if lemma in MASS or lemma in GROUNDABLE or category(lemma) in BARE_CATEGORIES:
        return False
    return before not in ("CCONJ", "PUNCT", "PART")


def reason(tokens: Tokens, one: Chunk, marks: list[str], terminated: bool) -> str:
    """Returns the rule that drops a chunk, or ""."""
    if marks[one.start] == "boilerplate":
        return "boilerplate"
    words = tokens.lower[one.start : one.end]
    if _denied(tokens, one):
        return "absent"
    if one.head < 0:
        return "lost_noun"
    if marks[one.start]:
        return marks[one.start]
    if _speculative(tokens, one):
        return "interpretation"
    if tokens.tags[one.head] == "PRON" or words[-1] in NOT_HEADS:
        return "pronoun"
    follows = tokens.lower[one.end] if one.end < len(tokens) else ""
    if not terminated and one.end >= len(tokens) - 1 and follows in ("", "of", "with", "and", "a"):
        return "truncated"
    definite = words[0] == "the"
    if _material(tokens, one):
        return "material"
    if _substance(tokens, one):
        return "substance"
    if _place(tokens, one):
        return "place"
    if definite and _setting(tokens, one):
        return "setting"
    if definite and _whole(tokens, one):
        return "whole"
    if _part_of(tokens, one):
        return "part_of"
    if _position(tokens, one):
        return "position"
    if one.start < 4 and _titled(tokens, one):
        return "ungroundable"
    if _bare_singular(tokens, one):
        return "bare_singular"
    if (
        sum(tag not in ("PUNCT", "CCONJ") for tag in tokens.tags[one.start : one.end])
        > MAX_WORDS + 1
    ):
        return "too_long"
    return invisible(tokens, one)
