"""The attribute that a swap changes, computed from the words; whether it makes the text false.

Original and replacement must consist of the same attributes in the same order, and the replacement
must exclude the original. A word of which no attribute is known is refused: nothing then tells
whether both may be true. The exception are adjectives that WordNet calls opposite, a state.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from finehard.negatives.axes import exclude
from finehard.negatives.kinds import SHADES, WORDS, Part, parts
from finehard.negatives.listed import listed
from finehard.negatives.relations import opposed, related, too_close
from finehard.phrases.lexicon import reading

ORDER = ("color", "material", "pattern", "shape", "count", "size", "state", "action", "position")
"""Attributes; where words have several in common, the first one counts."""
_UNSHADED = listed(
    "black white blackish whitish transparent multicolored multicoloured multi-colored "
    "multi-coloured colorful colourful rainbow monochrome ebony jet-black off-white"
)
"""Colours of which there is no light and no dark shade."""


_MIXTURES = listed(
    "multicolored multicoloured multi-colored multi-coloured colorful colourful rainbow two-tone "
    "monochrome"
)
"""Words for several colours, which "black and white" may be called."""


class Verdict(NamedTuple):
    """The attribute that a swap changes, or the rule that it breaks; one of them is empty."""

    attribute: str
    rule: str


@lru_cache(50_000)
def compare(original: str, replacement: str) -> Verdict:
    """Returns what a swap of two lower-case phrases changes, or why it may not be made.

    The rules are `not_an_attribute`, `other_attribute`, `not_exclusive`, `nonsense_shade` and the
    relations of `related`.
    """
    old, new = parts(original), parts(replacement)
    if old is None or new is None:
        return _unknown(original, replacement, old is None)
    if len(old) != len(new):
        return Verdict("", "other_attribute")
    if any(_nonsense(part) for part in new):
        return Verdict("", "nonsense_shade")
    verdicts = [_part(a, b) for a, b in zip(old, new, strict=True) if a.words != b.words]
    if any(verdict.rule == "other_attribute" for verdict in verdicts):
        return Verdict("", "other_attribute")
    # one that excludes its original makes the text false, whatever the others do
    best = min(verdicts, key=lambda verdict: bool(verdict.rule), default=None)
    return best or Verdict("", "no_change")


def _part(one: Part, other: Part) -> Verdict:
    common = one.attributes & other.attributes
    if not common:
        return Verdict("", "other_attribute")
    old, new = one.words.split(), other.words.split()
    if (set(old) <= SHADES) != (set(new) <= SHADES) and "color" in common:
        return Verdict("", "other_attribute")
    if rule := _close(one.words, other.words, "color" in common):
        return Verdict("", rule)
    for attribute in ORDER:
        if attribute in common and (attribute in WORDS or exclude(one.words, other.words)):
            return Verdict(attribute, "")
    return Verdict("", "not_exclusive")


def _close(one: str, other: str, color: bool) -> str | None:
    """Returns the relation by which both may be true, or None."""
    if exclude(one, other):
        return None
    if rule := too_close(one, other):
        return rule
    old, new = _plain(one, color), _plain(other, color)
    if len(old) == len(new) == 1:
        return None
    if old and new and (old <= new or new <= old):
        return "near_shade"
    if color and len(old) > 1 and len(new) > 1:
        return None  # "black and white", "black and red"
    if color and (old <= _MIXTURES or new <= _MIXTURES) and max(len(old), len(new)) > 1:
        return "near_shade"  # "black and white", "monochrome"
    pairs = (related(a, b) for a in old for b in new) if len(old) * len(new) <= 16 else iter(())
    return next((rule for rule in pairs if rule), None)


def _plain(words: str, color: bool) -> set[str]:
    """Returns the words without shades; of colours also the parts of "reddish-brown"."""
    split = words.split()
    if color:
        split = [part for word in split for part in (word, *word.split("-")) if part]
    return set(split) - SHADES - {"colored", "coloured"}


def _nonsense(part: Part) -> bool:
    """Whether a shade stands before a word that takes none: "light black", "light dark green"."""
    split = part.words.split()
    return "color" in part.attributes and any(
        one in SHADES and other in _UNSHADED | SHADES for one, other in pairwise(split)
    )


def _unknown(original: str, replacement: str, unknown: bool) -> Verdict:
    """Returns the verdict on words of which no attribute is known."""
    if " " not in original and " " not in replacement:
        old, new = reading(original), reading(replacement)
        if old.adj_count > old.noun_count and new.adj and opposed(original, replacement):
            return Verdict("state", "")
    return Verdict("", "not_an_attribute" if unknown else "other_attribute")
