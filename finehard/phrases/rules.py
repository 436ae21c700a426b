"""From chunks to phrases: what is left out and why, how a phrase is asked for, how far it goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from finehard.phrases.chunks import Chunk, Tokens
from finehard.phrases.lexicon import broader, category, compound_of, physical, venue
from finehard.phrases.marks import sentence_marks
from finehard.phrases.words import (
    AMOUNTS,
    ARTICLES,
    BARE_CATEGORIES,
    COLLECTIVES,
    COLORS,
    COMPANIONS,
    COUNTS_ONLY,
    EMPTY_ADJECTIVES,
    GROUNDABLE,
    GROUNDABLE_PAIRS,
    MAKES,
    MASS,
    NOT_HEADS,
    NUMBERS,
    PERSONS,
    PLACED,
    POSSESSIVES,
    QUANTITIES,
    SETTING,
    SHOWS,
    SITES,
    THINGS_IF_TOLD,
    TITLES,
    UNGROUNDABLE,
    UNITS,
    WATERS,
    WITHIN,
    WRITES,
)

MAX_WORDS = 8
"""Longer noun phrases are lists or mistakes; detectors' text encoders see them as noise."""
MAX_LONG_WORDS = 24

_PARTICIPLES = ("ing", "ed", "en", "wn", "ung", "ilt", "ut", "ade")
_BE = frozenset(("is", "are", "was", "were"))
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


def _place(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is the room or place that holds the picture: "in a classroom"."""
    before = tokens.lower[one.start - 1] if one.start else ""
    lemma = tokens.lemmas[one.head]
    if before == "of" and tokens.lemmas[one.start - 2] in ("interior", "inside"):
        return True  # whatever has one: "the interior of a vintage car"
    if tokens.plural[one.head] or not (lemma in SITES or venue(lemma)):
        return False
    if tokens.lower[one.start : one.end] == ["the", tokens.lower[one.head]]:
        return True
    if one.start == 0 and tokens.tags[one.end : one.end + 1] == ["AUX"]:
        return tokens.lemmas[one.end + 1 : one.end + 2] in (["show"], ["see"], ["photograph"])
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


def _material(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk says what something is made of or drawn with: "upholstered in leather"."""
    if one.start < 2 or tokens.tags[one.start - 1] != "ADP":
        return False
    before, verb = tokens.lower[one.start - 1], tokens.lemmas[one.start - 2]
    if verb in MAKES and before in ("of", "from"):
        return True
    if before != "in" or not (verb in MAKES or verb in WRITES):
        return False
    return category(tokens.lemmas[one.head]) in ("y", "k") or tokens.lemmas[one.head] in MASS


def _substance(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is a bare mass noun that only goes with a thing: "stained with oil"."""
    lemma = tokens.lemmas[one.head]
    if one.end - one.start > 1 or tokens.plural[one.head] or lemma in GROUNDABLE:
        return False
    return category(lemma) == "y" and one.start > 0 and tokens.tags[one.start - 1] == "ADP"


def _part_of(tokens: Tokens, one: Chunk) -> bool:
    """Whether a bare noun is only told by what it belongs to: "the foot of the bed"."""
    definite = one.end - one.start == 2 and tokens.lower[one.start] in ("the", "a", "an")
    return definite and tokens.lower[one.end : one.end + 1] == ["of"]


def _told(tokens: Tokens, one: Chunk, lemma: str) -> bool:
    """Whether an adjective makes a thing of a vague noun: "a sleeveless top", not "the top"."""
    if lemma not in THINGS_IF_TOLD or tokens.lower[one.end : one.end + 1] == ["of"]:
        return False
    return one.head > one.start and tokens.tags[one.head - 1] in ("ADJ", "NOUN")


def _position(tokens: Tokens, one: Chunk) -> bool:
    """Whether a noun is only told by where it is: "the upper floor"."""
    words = tokens.lower[one.start : one.end]
    return len(words) == 3 and words[0] == "the" and words[1] in PLACED


def _titled(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk is the picture itself: "A portrait of ...", "The image is a poster"."""
    if tokens.lemmas[one.head] not in TITLES:
        return False
    if one.start == 0:
        return tokens.lower[one.end : one.end + 1] == ["of"]
    return one.start < 4 and tokens.lower[one.start - 1] in ("is", "shows") and (
        tokens.lemmas[one.start - 2] in TITLES
    )


def _denied(tokens: Tokens, one: Chunk) -> bool:
    """Whether the caption says that a thing is not seen, or how few there are of it."""
    words, after = tokens.lower[one.start : one.end], tokens.lower[one.end : one.end + 3]
    if words[0] in ("no", "neither", "any", "few") or one.start > 0 and (
        tokens.lower[one.start - 1] in ("fewer", "less")
    ):
        return True
    hidden = after[1:2] in (["not"], ["n't"], ["barely"], ["hardly"]) and after[0] in _BE
    return hidden and after[2:] in (["visible"], ["seen"], ["shown"], ["present"], ["in"])


def _would(tokens: Tokens, one: Chunk) -> bool:
    """Whether a chunk does what nobody sees: "which many families will recognize"."""
    after = tokens.lower[one.end : one.end + 2]
    return after[:1] in (["will"], ["would"], ["might"], ["may"]) and after[1:] != ["be"]


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


def _reason(tokens: Tokens, one: Chunk, marks: list[str], terminated: bool) -> str:
    """The rule that leaves a chunk out, or ""."""
    if marks[one.start] == "boilerplate":
        return "boilerplate"
    words = tokens.lower[one.start : one.end]
    if _denied(tokens, one):
        return "absent"
    if one.head < 0:
        return "lost_noun"
    if marks[one.start]:
        return marks[one.start]
    if _would(tokens, one):
        return "interpretation"
    if tokens.tags[one.head] == "PRON" or words[-1] in NOT_HEADS:
        return "pronoun"
    follows = tokens.lower[one.end] if one.end < len(tokens) else ""
    if not terminated and one.end >= len(tokens) - 1 and follows in ("", "of", "with", "and", "a"):
        return "truncated"
    if _material(tokens, one):
        return "material"
    if _substance(tokens, one):
        return "substance"
    if _place(tokens, one):
        return "place"
    if _setting(tokens, one):
        return "setting"
    if _whole(tokens, one):
        return "whole"
    if _part_of(tokens, one):
        return "part_of"
    if _position(tokens, one):
        return "position"
    if _titled(tokens, one):
        return "ungroundable"
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
    if lemma in COLORS and tokens.plural[one.head] and category(lemma) != "k":
        return "ungroundable"  # "whites and grays"
    if _told(tokens, one, lemma):
        return ""
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


def _known_otherwise(tokens: Tokens, one: Chunk, seen: Collection[str]) -> bool:
    """Whether a bare noun names by its role what was named by its kind.

    "His companion" after "two men", "the water" after "a river".
    """
    lemma = tokens.lemmas[one.head]
    if lemma == "water":
        return not WATERS.isdisjoint(seen)
    return lemma in COMPANIONS and any(w in PERSONS or category(w) == "p" for w in seen)


def select(
    tokens: Tokens, chunks: Iterable[Chunk], terminated: bool, max_phrases: int
) -> Extraction:
    """The phrases to ask for. Every chunk is a phrase or left out by one rule.

    `terminated` says whether the text ends as a sentence does; where not, the model ran into its
    token limit and the last phrase may be cut.
    """
    chunks = list(chunks)
    marks = sentence_marks(tokens)
    ends = {one.start: one.end for one in chunks if one.head >= 0}
    dropped: dict[str, list[str]] = {}

    def leave_out(rule: str, one: Chunk) -> None:
        dropped.setdefault(rule, []).append(_surface(tokens, one.start, one.end))

    phrases: list[Phrase] = []
    seen: dict[str, list[set[str]]] = {}
    kinds: set[str] = set()
    inner: set[str] = set()
    verb_at = [t in ("VERB", "AUX") for t in tokens.tags]
    for one in chunks:
        reason = _reason(tokens, one, marks, terminated)
        if reason:
            leave_out(reason, one)
            continue
        text, core = _ask(tokens, one)
        head = tokens.lemmas[_head(tokens, one)]
        words = set(core.split()) - {tokens.lower[one.head]}
        again = tokens.lower[one.start] in ("the", "this", "that", "these", "those", "each", "its", "another")
        if any(words == w or again and words <= w for w in seen.get(head, ())):
            leave_out("duplicate", one)
            continue
        if not words and _known_otherwise(tokens, one, seen):
            leave_out("named_again", one)
            continue
        if again and not words and (head in inner or _known(head, kinds, seen)):
            # "The dog" after "a golden retriever", "the boat" after "a sailboat".
            leave_out("named_again", one)
            continue
        if len(phrases) >= max_phrases:
            leave_out("over_limit", one)
            continue
        seen.setdefault(head, []).append(words)
        if one.unit >= 0:
            inner.add(tokens.lemmas[one.end - 1])
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
