"""Objects and attributes that a text mentions, by the words of a truth file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WORD = re.compile(r"[a-z][a-z'-]*|[.;:,!?]")
# Words that end a noun phrase. After the first group attributes may still describe the noun before
# ("a mug, small", "the mug is red"); after the second they describe a noun to follow.
_GOES_ON = frozenset(
    (",", "is", "are", "and", "quite", "rather", "very", "fairly", "that", "which", "looks")
)
_STARTS_NEW = frozenset(
    [".", ";", ":", "!", "?", "a", "an", "the", "then", "or", "of", "on", "in", "with", "to",
     "from", "by", "at", "near", "behind", "beside", "under", "over", "was", "stands", "stand",
     "standing", "sits", "lies", "there", "another", "one", "two", "three", "four", "five", "six",
     "seven", "eight"]
)  # fmt: skip


class Mention(NamedTuple):
    """An object that a text mentions, and the attributes that the text gives it."""

    kind: str
    attributes: dict[str, str]


def mentions(
    text: str, kinds: Sequence[str], attributes: Mapping[str, Sequence[str]]
) -> list[Mention]:
    """The objects that `text` mentions, in order, singular or plural.

    An attribute belongs to the noun that it precedes ("a small red mug"), or, after a comma or
    "is", to the noun that it follows ("a red mug, quite small"). Attributes of nouns that are not
    in `kinds` ("a red wall") are ignored.
    """
    names = {form: kind for kind in kinds for form in (kind, kind + "s", kind + "es")}
    attribute_of = {word: name for name, words in attributes.items() for word in words}
    tokens = [*_WORD.findall(text.lower()), "."]
    mentioned: list[Mention] = []
    pending: dict[str, str] = {}
    after_noun = False  # whether attributes without a noun belong to the last noun
    for index, token in enumerate(tokens):
        if token in names:
            if tokens[index + 1] in names:  # "mug box": the last noun is the head
                continue
            mentioned.append(Mention(names[token], pending))
            pending, after_noun = {}, True
        elif token in attribute_of:
            pending[attribute_of[token]] = token
        elif token in _GOES_ON or token in _STARTS_NEW:
            if pending and after_noun:
                for name, word in pending.items():
                    mentioned[-1].attributes.setdefault(name, word)
            pending = {}
            after_noun = after_noun and token in _GOES_ON
        else:  # a noun that is not in `kinds`
            pending, after_noun = {}, False
    return mentioned
