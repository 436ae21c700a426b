"""Parts of speech from WordNet's counts and a word's neighbours, set on a spaCy Doc.

Made for captions: present tense, declarative, concrete. Each rule looks at the tag before and
the word after; there is no trained model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finehard.phrases.lexicon import Reading, lexicon, reading
from finehard.phrases.words import CLOSED, COLORS, DEGREES, POSSESSIVES

if TYPE_CHECKING:
    from spacy.tokens import Doc

_INSIDE = frozenset({"DET", "NUM", "ADJ"})
_ENDS = frozenset(".!?;:\n")


def _read(word: str) -> Reading:
    """The reading of a word; of a hyphenated one that WordNet lacks, that of its last part."""
    found = reading(word)
    if "-" in word.strip("-") and not (found.noun or found.adj or found.verb):
        last = reading(word.rsplit("-", 1)[1])
        if last.verb_form in ("d", "g") or last.adj_count > last.noun_count:
            return Reading(adj=word, adj_count=1)
        if last.noun:
            lemma = word.rsplit("-", 1)[0] + "-" + last.noun
            return Reading(noun=lemma, noun_count=1, plural=last.plural)
        if word.endswith("ed") or last.adj:
            return Reading(adj=word, adj_count=1)
    return found


def _nominal(word: str) -> bool:
    """Whether a word can go on a noun phrase."""
    if word in CLOSED or not word[:1].isalpha():
        return False
    r = _read(word)
    known = r.noun_count or r.adj_count or r.verb_count or r.adv_count
    return bool(r.noun or r.adj or r.verb_form in ("g", "d") or not known)


def _modifies(r: Reading, following: str, after: str) -> bool:
    """Whether what stands before `following` is a modifier in the same noun phrase."""
    if not _nominal(following):
        return False
    f = _read(following)
    if f.verb_form == "s" and f.verb_count > 3 * f.noun_count and not r.adj_count > r.noun_count:
        return False
    # "a striped hanging in" reads as a noun that hangs; "a large hanging lamp" does not.
    if f.verb_form in ("g", "d") and not f.noun and not f.adj:
        return _nominal(after)
    return True


def _plural(word: str) -> bool:
    return _nominal(word) and _read(word).plural


def _bare_compound(r: Reading, before: list[str], plural: bool) -> bool:
    """Whether a plural goes on a singular noun that has no article: "neon signs", "paint cans"."""
    bare = before not in (["DET"], ["NUM"], ["ADJ"], ["NOUN"], ["PART"])
    return bare and not plural and r.plural and r.noun_count > r.verb_count


def _after_noun(
    r: Reading, plural: bool, joined: bool, verb_seen: bool, nxt: str, pair: bool
) -> str:
    """The tag of an open-class word after a noun: a compound, or the verb.

    `joined`: the subject has an "and", so that a plural verb may follow a singular noun.
    """
    if pair:
        return "NOUN"
    closed_next = nxt in CLOSED or not nxt[:1].isalpha()
    object_next = CLOSED.get(nxt) in ("DET", "NUM", "ADP", "PRON", "ADV", "SCONJ") or nxt == "her"
    if r.adj and not r.noun and not r.verb:
        return "ADJ"
    if r.adv and not r.noun and not r.verb:
        return "ADV"
    if not r.verb:
        return "NOUN"
    if not r.verb_form and r.adj_count > r.noun_count and nxt in ("of", "with"):
        return "ADJ"  # "a basket full of bricks", "trees heavy with snow"
    if plural and r.verb_form in ("", "s"):
        return "VERB"  # plurals make no compounds: "cushions faces", "clouds glow"
    if r.verb_form == "g":
        if r.noun and r.noun_count >= r.verb_count:
            return "NOUN"
        return "VERB"
    if r.verb_form == "d":
        if r.noun and r.noun_count > r.verb_count and verb_seen:
            return "NOUN"
        return "VERB" if closed_next or not _nominal(nxt) or not r.adj else "ADJ"
    if not r.noun:
        return "VERB"
    fits = (r.verb_form == "s" and not plural) or (r.verb_form == "" and (plural or joined))
    if r.verb_form == "s" and not verb_seen and r.verb_count > 4 * r.noun_count:
        return "VERB"
    before_object = CLOSED.get(nxt) == "PRON" or not fits and nxt in ("the", "a", "an")
    if before_object and not verb_seen:
        return "VERB"  # no noun goes before "him" or "the": "a husky watches him"
    if not fits or verb_seen:
        return "NOUN"
    if CLOSED.get(nxt) == "DET" or nxt in ("her", "up", "down", "into", "onto", "toward"):
        return "VERB"
    if object_next and r.verb_count * 2 >= r.noun_count:
        return "VERB"
    if nxt in _ENDS and 5 * r.verb_count >= r.noun_count:
        return "VERB"
    if not closed_next and r.verb_count > 2 * r.noun_count:
        return "VERB"
    return "NOUN"


def _start(r: Reading, word: str, nxt: str, after: str, prev: str, verb_seen: bool) -> str:
    """The tag of an open-class word that may begin a noun phrase, or be a verb."""
    object_next = CLOSED.get(nxt) in ("DET", "NUM", "ADP", "PRON", "PART") or nxt == "her"
    if r.adv_count > max(r.noun_count, r.adj_count, r.verb_count):
        return "ADV"
    if r.verb_form in ("g", "d"):
        if prev == "AUX" or prev == "ADV" and not (r.adj and _nominal(nxt)):
            return "VERB"
        if object_next or not _modifies(r, nxt, after):
            noun = r.noun and r.noun_count > r.verb_count and prev != "NOUN"
            return "NOUN" if noun else "VERB"
        return "ADJ"
    if r.verb_form == "s" and r.verb_count > 20 * r.noun_count:
        return "VERB"
    if r.verb_form == "s" and prev == "ADJ" and r.verb_count > 3 * r.noun_count and object_next:
        return "VERB"
    verbal = r.verb_count >= max(r.noun_count, r.adj_count)
    if r.verb and prev in ("PRON", "ADV", "PART") and (verbal or object_next and not r.adj):
        return "VERB"
    predicate = prev == "CCONJ" and r.verb_form == "s" and object_next
    if r.verb and predicate and (verbal or CLOSED.get(nxt) == "DET"):
        return "VERB"
    if r.verb and prev == "" and r.verb_count > 3 * (r.noun_count + r.adj_count) and object_next:
        return "VERB"
    if prev == "AUX" and r.adj and (r.adj_count >= r.noun_count or not _nominal(nxt)):
        return "ADJ"
    return _inside(r, nxt, after)


def _inside(r: Reading, nxt: str, after: str) -> str:
    """The tag of an open-class word inside a noun phrase that has no noun yet."""
    more = _modifies(r, nxt, after)
    if nxt in (",", "and") and r.adj_count > r.noun_count:
        return "ADJ"
    if r.adv and not r.noun and r.adv_count > r.adj_count and _nominal(nxt):
        return "ADV"
    attribute = r.adj and (r.adj_count * 2 >= r.noun_count or r.adj in COLORS)
    if more and (attribute or r.verb_form in ("g", "d")):
        return "ADJ"
    if r.noun:
        return "NOUN"
    if r.adj or (r.verb_form in ("g", "d") and more):
        return "ADJ"
    if r.verb:
        return "VERB"
    return "ADV" if r.adv else "NOUN"


def tag(words: list[str], originals: list[str]) -> tuple[list[str], list[str], list[bool]]:
    """Tags (universal parts of speech), lemmas, and which nouns are plural.

    `words` are the lower-cased tokens, `originals` the tokens as written.
    """
    entries = lexicon().entries
    tags: list[str] = []
    lemmas: list[str] = []
    plurals: list[bool] = []
    prev, verb_seen, joined, sentence_start = "", False, False, True
    size = len(words)
    for i, word in enumerate(words):
        nxt = words[i + 1] if i + 1 < size else ""
        after = words[i + 2] if i + 2 < size else ""
        lemma, plural = word, False
        closed = CLOSED.get(word)
        if not word[:1].isalnum() and word[:1] not in "'’&":
            pos = "SPACE" if word.isspace() else "PUNCT"
        elif word[:1].isdigit():
            pos = "NUM"
        elif word in ("'s", "’s"):
            pos = "PART" if prev in ("NOUN", "PROPN") and _nominal(nxt) else "AUX"
        elif word in ("'", "’"):
            owner = prev == "NOUN" and words[i - 1].endswith("s") and _nominal(nxt)
            pos = "PART" if owner else "PUNCT"
        elif word == "her":
            pos = "DET" if _nominal(nxt) else "PRON"
        elif word == "that":
            ready = prev not in ("NOUN", "PROPN") and _nominal(nxt) and not _read(nxt).plural
            pos = "DET" if ready else "SCONJ"
        elif word == "to":
            base = _read(nxt)
            verb = base.verb and base.verb_form == "" and base.verb_count > base.noun_count
            pos = "PART" if verb and prev not in ("ADV",) and nxt not in CLOSED else "ADP"
        elif word in ("past", "down", "up", "inside", "outside") and prev in _INSIDE:
            pos = "ADJ" if _nominal(nxt) else "NOUN"
        elif word in ("one", "ones") and prev == "ADJ":
            pos = "NOUN"  # "the smaller one": a pronoun in a noun's place
        elif word in ("left", "right") and prev == "DET" and _read(nxt).verb_form == "s":
            pos = "NOUN"  # "the man on the left wears"
        elif i and words[i - 1] in DEGREES and _read(word).adj and not _nominal(nxt):
            pos = "ADJ"  # "a mug, quite small.": WordNet has "small" as a noun too
        elif word in COLORS and nxt in ("and", ",") and after in COLORS:
            pos = "ADJ"
        elif word in ("back", "well") and prev in _INSIDE:
            pos = "ADJ" if _nominal(nxt) else "NOUN"
        elif word in ("can", "cans") and prev == "NOUN" and not _read(nxt).verb and nxt != "be":
            pos = "NOUN"  # "a trash can."
            lemma, plural = "can", word == "cans"
        elif closed:
            pos = closed
        else:
            r = _read(word)
            # "small white" and "large white" are butterflies to WordNet: colours make no pairs.
            known = r.noun or r.verb or r.adj or r.adv
            pair = bool(i and r.noun) and word not in COLORS
            pair = pair and f"{words[i - 1]} {r.noun}" in entries
            if originals[i][:1].isupper() and not sentence_start and not known:
                pos = "PROPN"
            elif not known:
                pos = "ADV" if word.endswith("ly") else "NOUN"
                if word.endswith("ed") and _nominal(nxt):
                    pos = "ADJ"
                plural = word.endswith("s") and not word.endswith("ss")
                lemma = word[:-1] if plural and len(word) > 3 else word
            elif prev == "NOUN" and i and _bare_compound(r, tags[i - 2 : i - 1], plurals[-1]):
                pos = "NOUN"
            elif words[i - 1 : i] in (["has"], ["have"]) and r.verb_form and _plural(nxt):
                pos = "ADJ"  # "has curved horns"
            elif words[i - 1 : i] == [","] and r.verb_form == "g" and prev == "":
                pos = "VERB"  # "..., revealing tan leather seats"
            elif prev in ("NOUN", "PROPN"):
                pos = _after_noun(
                    r, plurals[-1] or words[i - 1] == "people", joined, verb_seen, nxt, pair
                )
            elif (
                nxt not in COLORS
                and r.verb_form in ("g", "d", "")
                and f"{word} {_read(nxt).noun}" in entries
            ):
                pos = "NOUN" if r.noun and prev != "PRON" else "ADJ"
                if prev == "AUX" and r.verb_form:
                    pos = "VERB"
            elif prev in _INSIDE or prev == "PART" and words[i - 1] != "to":
                pos = _inside(r, nxt, after)
            elif prev == "PART":
                pos = "VERB" if r.verb else _inside(r, nxt, after)
            else:
                pos = _start(r, word, nxt, after, prev, verb_seen)
            if known and pos == "NOUN":
                lemma, plural = r.noun or word, r.plural
            elif pos == "VERB":
                lemma = r.verb or word
            elif pos == "ADJ":
                lemma = r.adj or word
        if pos == "AUX" or pos == "VERB" and _read(word).verb_form not in ("g", "d"):
            verb_seen, joined = True, False
        elif pos in ("SCONJ", "CCONJ") or word in (",", ";", "which", "who"):
            joined = word == "and" and not verb_seen
            verb_seen = False
        sentence_start = word in _ENDS or pos == "SPACE" and "\n" in word
        if sentence_start:
            verb_seen, joined, pos_before = False, False, ""
        else:
            # An adverb inside a noun phrase ("a freshly baked loaf") does not end it.
            pos_before = prev if pos == "ADV" and prev in _INSIDE else pos
            if word in POSSESSIVES and pos == "PRON":
                pos_before = "DET"
        prev = "" if pos in ("PUNCT", "SPACE") else pos_before
        tags.append(pos)
        lemmas.append(lemma)
        plurals.append(plural)
    return tags, lemmas, plurals


def set_tags(doc: Doc) -> None:
    """Sets `pos_`, `lemma_` and the Number of nouns on every token of a Doc, in place."""
    from spacy.attrs import LEMMA, MORPH, POS
    from spacy.parts_of_speech import IDS

    if not len(doc):
        return
    originals = [t.text for t in doc]
    tags, lemmas, plurals = tag([text.lower() for text in originals], originals)
    add = doc.vocab.strings.add
    many = doc.vocab.morphology.add("Number=Plur")
    rows = [
        (IDS[t], add(lemma), many if p else 0)
        for t, lemma, p in zip(tags, lemmas, plurals, strict=True)
    ]
    doc.from_array([POS, LEMMA, MORPH], np.array(rows, dtype=np.uint64))
