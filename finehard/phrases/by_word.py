"""Tagging rules for individual words, and for tokens that are not words."""

from __future__ import annotations

from finehard.phrases.readings import nominal, read
from finehard.phrases.words import CLOSED, COLORS, DEGREES, SHADES

_INSIDE = frozenset({"DET", "NUM", "ADJ"})
_SPECIFIED = _INSIDE | {"PART"}
_FRAMINGS = frozenset(("close-up", "closeup", "up", "medium", "wide", "full", "long", "angle"))
"""Words before "shot" in the sense of a photograph."""
_ENDS_OF = frozenset(("front", "rear", "hind", "fore"))
"""Nouns for the ends of a thing, which come before a noun as adjectives do."""
_IN_WORDS = frozenset("'’&")
"""Punctuation that can begin a word: "'s", "&"."""
BY_WORD = frozenset(
    ("'s", "’s", "'", "’", "her", "that", "to", "past", "down", "up", "inside", "outside", "one",
     "next", "closer", "further", "ones", "left", "right", "back", "well", "can", "cans", "shot",
     *_ENDS_OF, *COLORS, *SHADES)
)  # fmt: skip
"""Words with their own rules, in addition to adjectives of degree ("quite small")."""


def by_form(word: str) -> str:
    """Returns the tag of digits, punctuation or space; "" for a word."""
    first = word[:1]
    if first.isalpha():
        return ""
    if first.isalnum():
        return "NUM" if first.isdigit() else ""
    if first in _IN_WORDS:
        return ""
    return "SPACE" if word.isspace() else "PUNCT"


def by_word(word: str, before: str, prev: str, nxt: str, after: str) -> str:
    """Returns the tag by the rules for individual words, or ""."""
    if word in ("'s", "’s"):
        return "PART" if prev in ("NOUN", "PROPN") and nominal(nxt) else "AUX"
    if word in ("'", "’"):
        owner = prev == "NOUN" and before.endswith("s") and nominal(nxt)
        return "PART" if owner else "PUNCT"
    if word == "her":
        return "DET" if nominal(nxt) else "PRON"
    if word == "that":
        ready = prev not in ("NOUN", "PROPN") and nominal(nxt) and not read(nxt).plural
        return "DET" if ready else "SCONJ"
    if word == "to":
        base = read(nxt)
        verb = base.verb and base.verb_form == "" and base.verb_count > base.noun_count
        return "PART" if verb and prev != "ADV" and nxt not in CLOSED else "ADP"
    if word in ("next", "closer", "further") and prev == "DET" and nominal(nxt):
        return "ADJ"
    if word in _ENDS_OF and prev in _SPECIFIED and nominal(nxt):
        return "ADJ"  # "its front paws"
    if word in ("past", "down", "up", "inside", "outside", "back", "well") and prev in _SPECIFIED:
        return "ADJ" if nominal(nxt) else "NOUN"
    if word in ("one", "ones") and prev == "ADJ":
        return "NOUN"  # "the smaller one": a pronoun in the position of a noun
    if word in ("left", "right") and prev == "DET" and read(nxt).verb_form == "s":
        return "NOUN"  # "the man on the left wears"
    if before in DEGREES and read(word).adj and not nominal(nxt):
        return "ADJ"  # "a mug, quite small.": in WordNet "small" is also a noun
    if word in COLORS and nxt in ("and", ",") and after in COLORS:
        return "ADJ"
    if word == "cans":
        return "NOUN"
    bare = read(nxt).verb != "" and not read(nxt).verb_form  # but "a paint can sits"
    modal = bare or nxt == "be" or after == "be"  # "can be seen", "can almost be felt"
    if word == "can" and prev == "NOUN" and not modal:
        return "NOUN"  # "a trash can."
    if word in SHADES and nxt in COLORS:
        return "ADJ"
    if word == "shot" and (prev in _INSIDE or before in _FRAMINGS):
        return "NOUN"  # "a medium shot taken", "a close-up shot"
    return ""
