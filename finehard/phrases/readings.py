"""What a word form can be beside its neighbours, from WordNet's readings."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from finehard.phrases.lexicon import Reading, category, reading
from finehard.phrases.words import CLOSED, MASS, word_set

_SHOWCASE = {"showcase": "", "showcases": "s", "showcased": "d", "showcasing": "g"}
"""A verb of captions that WordNet knows only as a noun."""
_AFTER_NOUNS = word_set(
    "ablaze aglow alight afloat asleep awake alive ajar aloft adrift afire aflame agape askew awry"
)
"""Adjectives that stand after their noun: "a forest ablaze with color"."""


@lru_cache(maxsize=100_000)
def read(word: str) -> Reading:
    """Returns the reading of a word; for an unknown hyphenated word, that of its last part."""
    whole = reading(word)
    if word in _SHOWCASE:
        return replace(whole, verb="showcase", verb_count=9, verb_form=_SHOWCASE[word])
    if "-" in word.strip("-") and not (whole.noun or whole.adj or whole.verb):
        last = reading(word.rsplit("-", 1)[1])
        if last.verb_form in ("d", "g") or last.adj_count > last.noun_count:
            return Reading(adj=word, adj_count=1)
        if last.noun:
            lemma = word.rsplit("-", 1)[0] + "-" + last.noun
            return Reading(noun=lemma, noun_count=1, plural=last.plural)
        if word.endswith("ed") or last.adj:
            return Reading(adj=word, adj_count=1)
    return whole


def nominal(word: str) -> bool:
    """Whether a word can continue a noun phrase."""
    if word in CLOSED or word in _AFTER_NOUNS or not word[:1].isalpha():
        return False
    r = read(word)
    known = r.noun_count or r.adj_count or r.verb_count or r.adv_count
    return bool(r.noun or r.adj or r.verb_form in ("g", "d") or not known)


def modifies(r: Reading, following: str, after: str) -> bool:
    """Whether the word before `following` is a modifier in the same noun phrase."""
    if not nominal(following):
        return False
    f = read(following)
    if f.verb_form == "s" and f.verb_count > 3 * f.noun_count and not r.adj_count > r.noun_count:
        return False
    # "hanging" is a verb in "a striped hanging in", a modifier in "a large hanging lamp".
    if f.verb_form in ("g", "d") and not f.noun and not f.adj:
        return nominal(after)
    return True


def is_plural(word: str) -> bool:
    return nominal(word) and read(word).plural


def bare_compound(r: Reading, before: str, nxt: str) -> bool:
    """Whether a noun forms a compound with the article-less singular before it: "neon signs".

    A countable noun without an article is not a subject, so no verb follows it. A mass noun can be
    one ("smoke drifts"), and so can persons and animals in headlines ("man walks dog").
    """
    if CLOSED.get(nxt) in ("DET", "PRON"):
        return False
    kind = category(before)
    if r.plural and r.noun_count > r.verb_count and kind or nxt == ",":
        return True
    return kind not in ("p", "c", "y", "k", "q", "") and before not in MASS


def is_thing(r: Reading) -> bool:
    """Whether a word in -ing is a noun: "building", "scaffolding"."""
    if r.verb_form != "g" or not r.noun or r.adj_count > 1:
        return False
    often = 3 if category(r.noun) == "d" else 1
    return often * r.noun_count >= r.verb_count
