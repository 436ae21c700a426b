"""From chunks to phrases: what is left out and why, how a phrase is asked for, how far it goes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from finehard.phrases.chunks import Chunk, Tokens
from finehard.phrases.lexicon import broader, category, compound_of, physical, venue
from finehard.phrases.words import (
    AMOUNTS,
    ARTICLES,
    BARE_CATEGORIES,
    COLLECTIVES,
    COLORS,
    COUNTS_ONLY,
    EMPTY_ADJECTIVES,
    GROUNDABLE,
    GROUNDABLE_PAIRS,
    MASS,
    NOT_HEADS,
    NUMBERS,
    PERSONS,
    POSSESSIVES,
    QUANTITIES,
    READS_INTO,
    SETTING,
    SHOWS,
    SITES,
    UNGROUNDABLE,
    UNITS,
    WITHIN,
)

MAX_WORDS = 8
"""Longer noun phrases are lists or mistakes; detectors' text encoders see them as noise."""
MAX_LONG_WORDS = 24

_BOILERPLATE = re.compile(
    r"\b(description|caption)s?\b.*\b(factual|objective|subjective|interpretation|accurate)"
    r"|^\W*(the |an? )?overall\b"
    r"|\b(mood|atmosphere|ambiance|ambience|vibe|aesthetic|composition)\b.*\b"
    r"(is|are|feels|seems|appears)\b"
    r"|^\W*(the|this) (image|photo|photograph|picture|scene|composition|caption|setting) (\w+ )?"
    r"(conveys|evokes|suggests|does not|creates|exudes|feels|invites|has been|is (?:calm|peaceful"
    r"|well[- ]lit|clear|sharp|taken|captured))\b"
    r"|^\W*the (\w+ )?(depth of field|composition|contrast|perspective|color palette|interplay"
    r"|focus on)\b"
    r"|^\W*(please|note|sorry|i)\b",
    re.IGNORECASE | re.DOTALL,
)
_PARTICIPLES = ("ing", "ed", "en", "wn", "ung", "ilt", "ut", "ade")
_CLOSING = frozenset(".!?\"')]”’…")


@dataclass(frozen=True)
class Phrase:
    """A thing the caption names, and the words to ask a detector for it.

    `text` has an indefinite article or a number ("a brown leather bag"), `head` is the lemma of
    its head noun, `long` goes on with what the caption says of it ("... hanging from the chair",
    or `text`). `start` and `end` are character offsets of the short span in the caption.
    """

    text: str
    head: str
    long: str
    start: int
    end: int


@dataclass(frozen=True)
class Extraction:
    """Phrases in the order of the text, and the noun phrases that each named rule left out."""

    phrases: list[Phrase]
    dropped: dict[str, list[str]]


def _boilerplate(tokens: Tokens) -> list[bool]:
    """For each token whether its sentence speaks of the description, not of the picture."""
    marks: list[bool] = []
    first = 0
    for i in range(len(tokens)):
        if tokens.lower[i] in (".", "!", "?") or "\n" in tokens.text[i] or i + 1 == len(tokens):
            sentence = " ".join(tokens.text[first : i + 1])
            marks += [bool(_BOILERPLATE.search(sentence))] * (i + 1 - first)
            first = i + 1
    return marks


def _head(tokens: Tokens, one: Chunk) -> int:
    """The token that says what is seen: "a pair of shoes" the shoes, "a cup of tea" the cup.

    Of a unit that is no thing itself ("a trail of footprints") it is what there is of it.
    """
    unit = tokens.lemmas[one.head]
    if one.unit >= 0 and (unit in COLLECTIVES or unit not in GROUNDABLE and not physical(unit)):
        return one.end - 1
    return one.head


def _article(tokens: Tokens, one: Chunk, first: str) -> str:
    # The article follows the written head: "a pair of shoes" takes one though shoes do not.
    if tokens.plural[one.head] or tokens.tags[one.head] == "PROPN":
        return ""
    # What the caption counts is counted: "a cloth", but "the water" is asked for as "water".
    counted = tokens.lower[one.start] in ("a", "an", "each", "another", "one")
    if not counted and tokens.lemmas[one.head] in MASS and tokens.lemmas[one.head] not in UNITS:
        return ""
    vowel = first[:1].lower() in "aeio" or first[:1] == "u" and not first.startswith(("uni", "us"))
    return "an " if vowel and not first.startswith(("one", "euro")) else "a "


def _surface(tokens: Tokens, start: int, end: int) -> str:
    """Tokens as one line of text, spaced as in the caption, lower-cased but for names."""
    parts: list[str] = []
    for i in range(start, end):
        apart = i > start and tokens.start[i] > tokens.start[i - 1] + len(tokens.text[i - 1])
        parts.append(" " if apart else "")
        parts.append(tokens.text[i] if tokens.tags[i] == "PROPN" else tokens.lower[i])
    return "".join(parts)


def _core(tokens: Tokens, one: Chunk) -> tuple[str, int]:
    """The number or quantity that leads the phrase ("two", "a few", "" for none), and the token
    where the rest begins."""
    lead = ""
    i = one.start
    while i < one.head:
        word = tokens.lower[i]
        if word in QUANTITIES and word not in ("various", "both", "multiple", "numerous"):
            lead = "a few" if word == "few" else word
        elif word in ("multiple", "numerous", "various"):
            lead = "several"
        elif word == "both":
            lead = "two"
        elif word in NUMBERS or tokens.tags[i] == "NUM":
            lead = word
        elif not (
            word in ARTICLES
            or word in POSSESSIVES
            or word in EMPTY_ADJECTIVES
            or tokens.tags[i] == "DET"
        ):
            break
        i += 1
    return lead, i


def _ask(tokens: Tokens, one: Chunk) -> tuple[str, str]:
    """The text to ask for, and the core: the same without article and number."""
    lead, first = _core(tokens, one)
    core = _surface(tokens, first, one.end)
    if lead:
        return f"{lead} {core}", core
    if "'s " in core or "’s " in core or "s' " in core:
        owner_plural = tokens.plural[first]
        return ("" if owner_plural else _article(tokens, Chunk(first, one.end, first), core)) + (
            core
        ), core
    return _article(tokens, one, core) + core, core


def _long_end(tokens: Tokens, one: Chunk, ends: dict[int, int], verb_before: bool) -> int:
    """The token after the longest expression that still belongs to the noun.

    A prepositional phrase belongs to the noun where no verb came before it in the clause; after a
    verb only "of", "with" and participles are taken, for "holds a cup in his hand" says where he
    holds it.
    """
    end, limit = one.end, min(len(tokens), one.start + MAX_LONG_WORDS)
    participle = False
    i = end
    while i < limit:
        tag, word = tokens.tags[i], tokens.lower[i]
        clause = tag == "VERB" and word.endswith(_PARTICIPLES)
        if clause and not participle and i == end:
            participle = True
            i += 1
            while i < limit and tokens.tags[i] == "ADV":
                i += 1
            if i in ends and ends[i] <= limit:
                end = i = ends[i]
            elif i < limit and tokens.tags[i] != "ADP":
                break
            continue
        if tag != "ADP" or (word not in ("of", "with") and verb_before and not participle):
            break
        i += 1
        while i < limit and tokens.tags[i] == "ADP":
            i += 1
        if i not in ends or ends[i] > limit:
            break
        end = i = ends[i]
    return end


def _unseen(tokens: Tokens) -> list[str]:
    """For each token the rule that leaves out what follows in its clause or sentence, or "".

    "absent": after "no" or "not", to the next comma, "and", "but" or preposition; after "without"
    also to the next verb that is no participle ("a dog without a collar pulls ...").
    "interpretation": after "suggests", "as if", to the end of the sentence.
    """
    marks: list[str] = []
    absent = read_into = lacking = False
    for i, word in enumerate(tokens.lower):
        lacking = word == "without" or lacking and absent
        if word in (".", "!", "?", ";") or "\n" in word:
            absent = read_into = False
        elif word in ("if", "though"):
            read_into = read_into or i > 0 and tokens.lower[i - 1] == "as"
        elif tokens.lemmas[i] in READS_INTO and tokens.tags[i] in ("VERB", "ADJ"):
            read_into = True
        elif word in ("not", "n't"):
            absent = absent or tokens.lower[i + 1 : i + 2] != ["only"]
        elif word in ("no", "neither", "nor", "hardly", "without"):
            absent = True
        elif word in (",", "but", "while", "and") or tokens.tags[i] == "ADP" and word != "of":
            absent = False
        elif tokens.tags[i] in ("VERB", "AUX") and not word.endswith("ing"):
            absent = absent and not lacking
        marks.append("interpretation" if read_into else "absent" if absent else "")
    return marks


def _place(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is the room or place that holds the picture: "in a classroom"."""
    before = tokens.lower[one.start - 1] if one.start else ""
    lemma = tokens.lemmas[one.head]
    if tokens.plural[one.head] or not (lemma in SITES or venue(lemma)):
        return False
    if tokens.lower[one.start : one.end] == ["the", tokens.lower[one.head]]:
        return True
    if before == "of":
        return tokens.lemmas[one.start - 2] in UNGROUNDABLE - {"front", "side", "top", "back"}
    return before in WITHIN or (one.start > 0 and tokens.lemmas[one.start - 1] in SHOWS)


def _setting(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk names what is around, and nothing tells it apart: "on the wall"."""
    return tokens.lower[one.start] == "the" and (
        one.end - one.start == 2 and tokens.lemmas[one.head] in SETTING
    )


def _whole(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk only says of what a part was named: "at the top of the stairs"."""
    of = one.start > 1 and tokens.lower[one.start - 1] == "of"
    return of and one.end - one.start == 2 and tokens.lower[one.start] == "the"


def _bare_singular(tokens: Tokens, one: Chunk) -> bool:
    """Whether a countable noun stands alone without article: an adjective or a part of a verb."""
    if tokens.lower[one.end - 1] in COLORS:
        return True  # "the carpet is light brown", "a patch of blue"
    before = tokens.tags[one.start - 1] if one.start else ""
    alone = one.end - one.start == 1 and not tokens.plural[one.head]
    if alone and (before == "AUX" or tokens.lemmas[one.start - 1] in ("look", "seem", "appear")):
        return True
    if one.end - one.start > 1 or tokens.plural[one.head] or tokens.tags[one.head] != "NOUN":
        return False
    lemma = tokens.lemmas[one.head]
    if lemma in MASS or lemma in GROUNDABLE or category(lemma) in BARE_CATEGORIES:
        return False
    return before not in ("CCONJ", "PUNCT", "PART")


def _reason(
    tokens: Tokens, one: Chunk, boilerplate: list[bool], unseen: list[str], terminated: bool
) -> str:
    """The rule that leaves a chunk out, or ""."""
    if boilerplate[one.start]:
        return "boilerplate"
    words = tokens.lower[one.start : one.end]
    if words[0] in ("no", "neither", "any"):
        return "absent"
    if one.head < 0:
        return "lost_noun"
    if unseen[one.start]:
        return unseen[one.start]
    if tokens.tags[one.head] == "PRON" or words[-1] in NOT_HEADS:
        return "pronoun"
    follows = tokens.lower[one.end] if one.end < len(tokens) else ""
    if not terminated and one.end >= len(tokens) - 1 and follows in ("", "of", "with", "and", "a"):
        return "truncated"
    if one.start > 1 and tokens.lower[one.start - 2 : one.start] == ["made", "of"]:
        return "material"
    if _place(tokens, one):
        return "place"
    if _setting(tokens, one):
        return "setting"
    if _whole(tokens, one):
        return "whole"
    if _bare_singular(tokens, one):
        return "bare_singular"
    if one.end - one.start > MAX_WORDS + 1:
        return "too_long"
    lemma = tokens.lemmas[_head(tokens, one)]
    if not lemma[:1].isalpha() or len(lemma) < 2:
        return "ungroundable"
    pair = f"{tokens.lower[one.head - 1]} {lemma}" if one.head > one.start else ""
    owned = lemma == "camera" and words[0] != "the"
    counts = lemma in COUNTS_ONLY and one.unit < 0 and one.end - one.start <= 2
    if counts or lemma in AMOUNTS:
        return "ungroundable"
    if lemma in UNGROUNDABLE and not owned and pair not in GROUNDABLE_PAIRS:
        return "ungroundable"
    if lemma not in GROUNDABLE and pair not in GROUNDABLE_PAIRS and not physical(lemma):
        return "abstract"
    return ""


def _known(head: str, kinds: set[str], heads: Iterable[str]) -> bool:
    """Whether "the `head`" can be one of the `heads` named before, which are kinds of `kinds`."""
    if head in kinds or any(compound_of(known, head) for known in heads):
        return True
    return head in PERSONS and any(category(w) == "p" and w not in PERSONS for w in heads)


def select(
    tokens: Tokens, chunks: Iterable[Chunk], terminated: bool, max_phrases: int
) -> Extraction:
    """The phrases to ask for. Every chunk is a phrase or left out by one rule.

    `terminated` says whether the text ends as a sentence does; where not, the model ran into its
    token limit and the last phrase may be cut.
    """
    chunks = list(chunks)
    boilerplate, unseen = _boilerplate(tokens), _unseen(tokens)
    ends = {one.start: one.end for one in chunks if one.head >= 0}
    dropped: dict[str, list[str]] = {}

    def leave_out(rule: str, one: Chunk) -> None:
        dropped.setdefault(rule, []).append(_surface(tokens, one.start, one.end))

    phrases: list[Phrase] = []
    seen: dict[str, list[set[str]]] = {}
    kinds: set[str] = set()
    verb_at = [t in ("VERB", "AUX") for t in tokens.tags]
    for one in chunks:
        reason = _reason(tokens, one, boilerplate, unseen, terminated)
        if reason:
            leave_out(reason, one)
            continue
        text, core = _ask(tokens, one)
        head = tokens.lemmas[_head(tokens, one)]
        words = set(core.split()) - {tokens.lower[one.head]}
        again = tokens.lower[one.start] in ("the", "this", "that", "these", "those", "each", "its")
        if any(words == w or again and words <= w for w in seen.get(head, ())):
            leave_out("duplicate", one)
            continue
        if again and not words and _known(head, kinds, seen):
            # "The dog" after "a golden retriever", "the boat" after "a sailboat".
            leave_out("named_again", one)
            continue
        if len(phrases) >= max_phrases:
            leave_out("over_limit", one)
            continue
        seen.setdefault(head, []).append(words)
        kinds.update(broader(head))
        clause = one.start
        while clause and tokens.lower[clause - 1] not in (".", "!", "?", ";", ","):
            clause -= 1
        end = _long_end(tokens, one, ends, any(verb_at[clause : one.start]))
        long = text + (" " + _surface(tokens, one.end, end) if end > one.end else "")
        last = one.end - 1
        phrases.append(
            Phrase(
                text,
                head,
                long,
                tokens.start[one.start],
                tokens.start[last] + len(tokens.text[last]),
            )
        )
    return Extraction(phrases, dropped)


def is_terminated(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    return text.rstrip()[-1:] in _CLOSING
