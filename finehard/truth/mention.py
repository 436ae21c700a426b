"""What a text says of objects, as far as a truth file's words go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WORD = re.compile(r"[a-z][a-z'-]*|[.;:,!?]")
# What ends a noun phrase. After the first group, attributes may still be said of the noun before
# ("a mug, small", "the mug is red"); after the second, another noun is on its way.
_GOES_ON = frozenset(
    (",", "is", "are", "and", "quite", "rather", "very", "fairly", "that", "which", "looks")
)
_STARTS_NEW = frozenset(
    [
        ".",
        ";",
        ":",
        "!",
        "?",
        "a",
        "an",
        "the",
        "then",
        "or",
        "of",
        "on",
        "in",
        "with",
        "to",
        "from",
        "by",
        "at",
        "near",
        "behind",
        "beside",
        "under",
        "over",
        "was",
        "stands",
        "stand",
        "standing",
        "sits",
        "lies",
        "there",
        "another",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
    ]
)


class Mention(NamedTuple):
    """An object that a text names, and the attributes that it gives it."""

    kind: str
    attributes: dict[str, str]


def mentions(
    text: str, kinds: Sequence[str], attributes: Mapping[str, Sequence[str]]
) -> list[Mention]:
    """The objects that `text` names, in order.

    An attribute word belongs to the noun that it stands before ("a small red mug"), or, set off by
    a comma or by "is", to the noun that it follows ("a red mug, quite small"). Attributes of
    nouns that are not in `kinds` ("a red wall") are nobody's. Plurals count.
    """
    names = {form: kind for kind in kinds for form in (kind, kind + "s", kind + "es")}
    which = {word: name for name, words in attributes.items() for word in words}
    tokens = [*_WORD.findall(text.lower()), "."]
    found: list[Mention] = []
    waiting: dict[str, str] = {}
    behind = False  # whether attributes without a noun would be said of the last noun
    for index, token in enumerate(tokens):
        if token in names:
            if tokens[index + 1] in names:  # "mug box": the last noun is the head
                continue
            found.append(Mention(names[token], waiting))
            waiting, behind = {}, True
        elif token in which:
            waiting[which[token]] = token
        elif token in _GOES_ON or token in _STARTS_NEW:
            if waiting and behind:
                for name, word in waiting.items():
                    found[-1].attributes.setdefault(name, word)
            waiting = {}
            behind = behind and token in _GOES_ON
        else:  # a noun of no listed kind
            waiting, behind = {}, False
    return found
