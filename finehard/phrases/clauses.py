"""Repairs clauses that the tagger left without a finite verb: the best candidate becomes the verb.

In "Patches of snow cling to the slope" each word could be a noun, but then the sentence would have
no verb. Titles ("A close-up of a dog") have none and are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finehard.phrases.lexicon import Reading, lexicon
from finehard.phrases.words import COLORS, TITLES

OPENERS = frozenset(("while", "whereas", "because", "although", "though", ";", ".", "!", "?"))
"""Words that begin a new clause."""
_RELATIVES = frozenset(("which", "who", "whom", "whose", "that"))
_NOUNS = frozenset({"NOUN", "PROPN"})
_BEFORE = _NOUNS | {"ADV", "NUM", "PRON"}
_AFTER = frozenset({"ADP", "DET", "NUM", "PRON", "ADV", "SCONJ", "PUNCT", "PART", "CCONJ"})
_ELLIPTIC = frozenset(("one", "other", "others", "left", "right"))
"""Words that can be a subject without a noun: "the other kneels"."""
_INSIDE = _NOUNS | {"ADJ"}
_ONE = frozenset(("a", "an", "another", "each", "every", "one"))
"""Determiners of a singular noun."""
_LEAVES = frozenset({"ADP", "AUX", "SCONJ"})
"""Tags that end the first noun phrase; but "a top down view"."""
_RARE = 0.25
"""Lowest ratio of verb to noun counts in WordNet at which a word can become the verb."""


@dataclass(slots=True)
class Clause:
    """State of the current main clause."""

    first: int = 0
    finite: bool = False
    relative: bool = False
    """Inside a relative clause, whose verb is not that of the main clause."""

    def note(self, word: str, pos: str, form: str, before: str) -> None:
        """Updates the state with the next word; `form` is a verb's form."""
        if pos == "AUX" or pos == "VERB" and form in ("", "s") and before != "to":
            self.finite = self.finite or not self.relative
        elif word == ",":
            self.relative = False
        elif word in _RELATIVES and pos != "DET":
            self.relative = True


def _can_be_verb(words: list[str], tags: list[str], i: int, r: Reading, ratio: float) -> bool:
    """Whether noun `i` can be a verb between its neighbours; `ratio` is verb to noun count."""
    before, word = tags[i - 1], words[i - 1]
    after = tags[i + 1] if i + 1 < len(tags) else "PUNCT"
    third = r.verb_form == "s"
    if third and after in ("DET", "PRON") and before != "DET":
        return ratio > _RARE / 10  # no noun precedes "the": "hands her a banknote"
    if word in COLORS:
        if words[i - 2] not in ("in", "all"):  # "a woman in white stands", but not "green leaves"
            return False
    elif before not in _BEFORE and not (
        word in (",", *_ELLIPTIC) or third and before in ("VERB", "ADJ") and word.endswith("ed")
    ):
        return False
    # A plural does not modify a noun: "practices yoga", but "city street".
    return ratio > _RARE and (ratio > 1 or after in _AFTER or third and after in ("NOUN", "ADJ"))


def _is_title(words: list[str], tags: list[str], clause: tuple[int, int]) -> bool:
    """Whether a clause begins with a noun phrase for the image: "An outdoor, close up view of"."""
    for i in range(*clause):
        if tags[i] in _NOUNS and words[i] in TITLES:
            return True
        if tags[i] in _LEAVES and words[i] not in ("up", "down") or words[i] in _RELATIVES:
            return False
    return False


def _continues(words: list[str], tags: list[str], i: int, form: str) -> bool:
    """Whether word `i` does not agree, as a verb of that form, with the singular noun before it.

    It continues the noun phrase: "a metal stand", "two paint cans".
    """
    first = i - 1
    while first > max(0, i - 8) and tags[first] in _INSIDE:
        first -= 1
    return words[first] in _ONE and form == "" or tags[first] == "NUM" and words[first] != "one"


def finite_verb(
    words: list[str],
    tags: list[str],
    plurals: list[bool],
    clause: tuple[int, int],
    read: Callable[[str], Reading],
) -> int:
    """Returns the best candidate for the finite verb of a clause (first, end), or -1."""
    nouns, relative = [], False
    for i in range(*clause):
        relative = words[i] != "," and (relative or words[i] in _RELATIVES and tags[i] != "DET")
        if (tags[i] in _NOUNS or words[i] in _ELLIPTIC) and not relative:
            nouns.append(i)
    if not nouns or _is_title(words, tags, clause):
        return -1
    verb, best = -1, 0.0
    for k, i in enumerate(nouns[1:], 1):
        r = read(words[i])
        ratio = r.verb_count / max(1, r.noun_count)
        if not r.verb or r.verb_form not in ("s", "") or ratio <= best:
            continue
        if words[i] in _ELLIPTIC or not _can_be_verb(words, tags, i, r, ratio):
            continue
        if not plurals[i - 1] and _continues(words, tags, i, r.verb_form):
            continue
        many = [plurals[subject] for subject in nouns[:k]]
        agrees = not all(many) if r.verb_form == "s" else any(many) or "and" in words[nouns[0] : i]
        inverted = tags[clause[0]] == "ADP" and tags[i + 1 : i + 2] in (["DET"], ["NUM"])
        compound = r.verb_form == "" and f"{words[i - 1]} {r.noun}" in lexicon().entries
        if (agrees or inverted) and not compound:  # "On the wall hang two paintings"
            verb, best = i, ratio
    return verb
