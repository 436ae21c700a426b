"""A rule-based part-of-speech tagger that uses WordNet's counts and neighbouring words.

It is designed for captions: present tense, declarative, concrete. Rules use the preceding tag and
the following words; there is no trained model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from finehard.phrases.clauses import OPENERS, Clause, finite_verb
from finehard.phrases.lexicon import Reading, category, lexicon, reading
from finehard.phrases.words import CLOSED, COLORS, DEGREES, MASS, NUMBERS, POSSESSIVES, SHADES, TITLES

_INSIDE = frozenset({"DET", "NUM", "ADJ"})
_SPECIFIED = _INSIDE | {"PART"}
_RELATIVES = frozenset(("which", "who", "that"))
_ONE = frozenset(("a", "an", "another", "each", "every"))
"""Determiners that are not followed by a plural."""
_NOMINAL = frozenset({"ADJ", "NOUN", "PROPN", "ADV"})
_OBJECTS = frozenset(("him", "them", "himself", "herself", "itself", "themselves"))
"""Pronouns that follow a verb, never a noun."""
_SEVERAL = NUMBERS - {"one"} | frozenset(
    ("several", "many", "few", "both", "multiple", "numerous", "various", "these", "those")
)
"""Determiners and numbers that are followed by a plural."""
_SOME = frozenset(("some", "many", "most", "one", "each", "both"))
_FRAMINGS = frozenset(("close-up", "closeup", "up", "medium", "wide", "full", "long", "angle"))
"""Words before "shot" in the sense of a photograph."""
_ENDS_OF = frozenset(("front", "rear", "hind", "fore"))
"""Nouns for the ends of a thing, which come before a noun as adjectives do."""
_ENDS = frozenset(".!?;:\n")
_SHOWCASE = {"showcase": "", "showcases": "s", "showcased": "d", "showcasing": "g"}
"""A verb of captions that WordNet knows only as a noun."""
_UNCHANGED = frozenset(("set", "cut", "put", "shut", "split", "spread", "cast"))
"""Verbs whose participle is the base form."""
_IN_WORDS = frozenset("'’&")
"""Punctuation that can begin a word: "'s", "&"."""


@lru_cache(maxsize=100_000)
def _read(word: str) -> Reading:
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


def _nominal(word: str) -> bool:
    """Whether a word can continue a noun phrase."""
    if word in CLOSED or not word[:1].isalpha():
        return False
    r = _read(word)
    known = r.noun_count or r.adj_count or r.verb_count or r.adv_count
    return bool(r.noun or r.adj or r.verb_form in ("g", "d") or not known)


def _modifies(r: Reading, following: str, after: str) -> bool:
    """Whether the word before `following` is a modifier in the same noun phrase."""
    if not _nominal(following):
        return False
    f = _read(following)
    if f.verb_form == "s" and f.verb_count > 3 * f.noun_count and not r.adj_count > r.noun_count:
        return False
    # "hanging" is a verb in "a striped hanging in", a modifier in "a large hanging lamp".
    if f.verb_form in ("g", "d") and not f.noun and not f.adj:
        return _nominal(after)
    return True


def _plural(word: str) -> bool:
    return _nominal(word) and _read(word).plural


def _bare_compound(r: Reading, before: str, nxt: str) -> bool:
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


def _after_noun(
    r: Reading,
    word: str,
    before: str,
    plural: bool,
    joined: bool,
    verb_seen: bool,
    nxt: str,
    pair: bool,
) -> str:
    """Returns the tag of an open-class word after a noun: part of a compound, or the verb.

    `joined`: the subject contains "and", so a plural verb may follow a singular noun.
    """
    if r.noun and not (plural or r.verb_form) and nxt not in CLOSED and _read(nxt).verb_form == "s":
        return "NOUN"  # "a tower crane rises"
    if plural and r.adv and not r.verb:
        return "ADV"  # "signs overhead show"
    if not plural and r.noun and (CLOSED.get(nxt) == "AUX" and nxt != "not" or nxt in _RELATIVES):
        return "NOUN"  # "maple leaves that", "the trees are"
    of = nxt == "of" and r.noun and not r.verb_form and r.adj_count <= r.noun_count
    if pair or before == "sports" or of:
        return "NOUN"  # "an open sports bag", "a glass jar of sugar"
    closed_next = nxt in CLOSED or not nxt[:1].isalpha()
    object_next = CLOSED.get(nxt) in ("DET", "NUM", "ADP", "PRON", "ADV", "SCONJ") or nxt == "her"
    if r.adj and not r.noun and not r.verb:
        return "ADJ"
    if r.adv and not r.noun and not r.verb:
        return "ADV"
    if not r.verb_form and r.adj == word and r.adj_count > r.noun_count and closed_next:
        return "ADJ"  # "a basket full of bricks", "its hood open and"
    if not r.verb:
        return "VERB" if plural and word.endswith("ing") else "NOUN"  # "jeans skateboarding down"
    rare = r.noun_count > 10 * r.verb_count
    if plural and r.verb_form in ("", "s") and not rare:
        return "VERB"  # plurals do not modify nouns: "cushions faces", "clouds glow"
    if r.verb_form == "g":
        # A person can be the agent, a brick cannot: "a woman painting", "a brick building".
        thing = category(r.noun) == "d" and 4 * r.noun_count > r.verb_count
        thing = thing and category(before) not in ("p", "c") and not plural
        if r.noun and (r.noun_count >= r.verb_count or thing and CLOSED.get(nxt) != "DET"):
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
        return "VERB"  # no noun precedes "him" or "the": "a husky watches him"
    if not fits or verb_seen:
        return "NOUN"
    if CLOSED.get(nxt) == "DET" or nxt in ("her", "up", "down", "into", "onto", "toward"):
        return "VERB"
    if object_next and r.verb_count * 2 >= r.noun_count:
        return "VERB"
    if nxt in _ENDS and 5 * r.verb_count >= r.noun_count and (plural or r.verb_form):
        return "VERB"
    if nxt in _ENDS and r.verb_count > 2 * r.noun_count:
        return "VERB"  # "a boy and a girl swim.", but "blocks and a toy train."
    if not closed_next and r.verb_count > 2 * r.noun_count:
        return "VERB"
    return "NOUN"


def _start(r: Reading, word: str, before: str, nxt: str, after: str, prev: str, verb_seen: bool) -> str:
    """Returns the tag of an open-class word that begins a noun phrase or is a verb."""
    object_next = CLOSED.get(nxt) in ("DET", "NUM", "ADP", "PRON", "PART") or nxt == "her"
    if r.adv_count > max(r.noun_count, r.adj_count, r.verb_count):
        return "ADV"
    if before in _RELATIVES and r.verb_form == "s" and nxt != "of" and 2 * r.verb_count >= r.noun_count:
        return "VERB"  # "sauce that drips down"
    if r.verb_form == "s" and (r.verb_count > r.noun_count and CLOSED.get(nxt) == "PRON"):
        return "VERB"
    if r.verb_form == "s" and nxt in _OBJECTS:
        return "VERB"  # "and fans herself"
    if prev == "" and nxt == "of" and r.noun and r.verb_form == "s":
        return "NOUN"  # "Drips of paint"
    if prev == "" and _is_thing(r):
        return "NOUN"  # "Scaffolding covers the front"
    if r.verb_form in ("g", "d"):
        after_pronoun = prev == "PRON" and r.verb_form == "g"  # "many of them holding fans"
        if prev == "AUX" or after_pronoun or prev == "ADV" and not (r.adj and _nominal(nxt)):
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
    if prev == "AUX" and word in _UNCHANGED:
        return "VERB"  # "is set up"
    if before == "been" and r.verb and r.verb_count > r.adj_count:
        return "VERB"  # "have been set up"
    if prev == "AUX" and r.adj and (r.adj_count >= r.noun_count or not _nominal(nxt)):
        return "ADJ"
    return _inside(r, nxt, after)


def _is_thing(r: Reading) -> bool:
    """Whether a word in -ing is a noun: "building", "scaffolding"."""
    return r.verb_form == "g" and bool(r.noun) and r.noun_count >= r.verb_count and r.adj_count <= 1


def _inside(r: Reading, nxt: str, after: str) -> str:
    """Returns the tag of an open-class word in a noun phrase that has no noun yet."""
    more = _modifies(r, nxt, after)
    if _is_thing(r):
        return "NOUN"  # "the building faces"
    if nxt in (",", "and") and r.adj_count > r.noun_count:
        return "ADJ"
    if r.adv and not r.noun and r.adv_count > r.adj_count and _nominal(nxt):
        return "ADV"
    following = _read(nxt)
    sure = following.adj and not following.noun and not following.verb  # "a medium indoor shot"
    attribute = r.adj and (r.adj_count * 2 >= r.noun_count or r.adj in COLORS or sure)
    if more and (attribute or r.verb_form in ("g", "d")):
        return "ADJ"
    if r.noun:
        return "NOUN"
    if r.adj or (r.verb_form in ("g", "d") and more):
        return "ADJ"
    if r.verb:
        return "VERB"
    return "ADV" if r.adv else "NOUN"


@dataclass(slots=True)
class _Sentence:
    """State of the sentence being tagged, from left to right."""

    words: list[str]
    tags: list[str]
    plurals: list[bool]
    prev: str = ""
    """The preceding tag for the rules: "" after punctuation and at the start."""
    verb_seen: bool = False
    said: bool = False
    """A verb was seen earlier in the sentence, if not in this clause."""
    joined: bool = False
    """The subject contains "and"."""
    specified: bool = False
    """The noun phrase has a determiner, number or possessive, or begins the sentence."""
    single: bool = False
    """The noun phrase begins with one of `_ONE`."""
    several: bool = False
    """The noun phrase begins with a word for several, and its plural noun has not come yet."""
    starts: bool = True
    """The next word begins a sentence."""

    def advance(self, word: str, pos: str) -> None:
        """Updates the state with the next word and its tag."""
        if pos == "AUX" or pos == "VERB" and _read(word).verb_form not in ("g", "d"):
            self.verb_seen, self.said, self.joined = True, True, False
        elif pos in ("SCONJ", "CCONJ") or word in (",", ";", "which", "who"):
            self.joined = word == "and" and not self.verb_seen
            self.verb_seen = False
        if pos not in _NOMINAL:
            self.specified = pos in ("DET", "NUM", "PART") or word in POSSESSIVES
            self.single = word in _ONE
            self.several = word in _SEVERAL or pos == "NUM" and word not in ("one", "1")
        elif pos in ("NOUN", "PROPN") and self.plurals[-1] or word == "people":
            self.several = False
        self.starts = word in _ENDS or pos == "SPACE" and "\n" in word
        if self.starts:
            self.verb_seen, self.said, self.joined, self.prev = False, False, False, ""
        elif pos in ("PUNCT", "SPACE"):
            self.prev = ""
        elif pos == "PRON" and word in POSSESSIVES:
            self.prev = "DET"
        elif pos != "ADV" or self.prev not in _INSIDE:
            # An adverb does not end a noun phrase: "a freshly baked loaf".
            self.prev = pos


def _by_form(word: str) -> str:
    """Returns the tag of digits, punctuation or space; "" for a word."""
    first = word[:1]
    if first.isalpha():
        return ""
    if first.isalnum():
        return "NUM" if first.isdigit() else ""
    if first in _IN_WORDS:
        return ""
    return "SPACE" if word.isspace() else "PUNCT"


_CLAUSE_TAGS = frozenset({"AUX", "VERB", "PUNCT", "PRON", "SCONJ"})
_BY_WORD = frozenset(
    ("'s", "’s", "'", "’", "her", "that", "to", "past", "down", "up", "inside", "outside", "one",
     "next", "closer", "further", "ones", "left", "right", "back", "well", "can", "cans", "shot", *_ENDS_OF, *COLORS, *SHADES)
)  # fmt: skip
"""Words with their own rules, in addition to adjectives of degree ("quite small")."""


def _by_word(word: str, before: str, prev: str, nxt: str, after: str) -> str:
    """Returns the tag by the rules for individual words, or ""."""
    if word in ("'s", "’s"):
        return "PART" if prev in ("NOUN", "PROPN") and _nominal(nxt) else "AUX"
    if word in ("'", "’"):
        owner = prev == "NOUN" and before.endswith("s") and _nominal(nxt)
        return "PART" if owner else "PUNCT"
    if word == "her":
        return "DET" if _nominal(nxt) else "PRON"
    if word == "that":
        ready = prev not in ("NOUN", "PROPN") and _nominal(nxt) and not _read(nxt).plural
        return "DET" if ready else "SCONJ"
    if word == "to":
        base = _read(nxt)
        verb = base.verb and base.verb_form == "" and base.verb_count > base.noun_count
        return "PART" if verb and prev != "ADV" and nxt not in CLOSED else "ADP"
    if word in ("next", "closer", "further") and prev == "DET" and _nominal(nxt):
        return "ADJ"
    if word in _ENDS_OF and prev in _SPECIFIED and _nominal(nxt):
        return "ADJ"  # "its front paws"
    if word in ("past", "down", "up", "inside", "outside", "back", "well") and prev in _SPECIFIED:
        return "ADJ" if _nominal(nxt) else "NOUN"
    if word in ("one", "ones") and prev == "ADJ":
        return "NOUN"  # "the smaller one": a pronoun in the position of a noun
    if word in ("left", "right") and prev == "DET" and _read(nxt).verb_form == "s":
        return "NOUN"  # "the man on the left wears"
    if before in DEGREES and _read(word).adj and not _nominal(nxt):
        return "ADJ"  # "a mug, quite small.": in WordNet "small" is also a noun
    if word in COLORS and nxt in ("and", ",") and after in COLORS:
        return "ADJ"
    if word == "cans":
        return "NOUN"
    base = _read(nxt).verb and not _read(nxt).verb_form  # but "a paint can sits"
    modal = base or nxt == "be" or after == "be"  # "can be seen", "can almost be felt"
    if word == "can" and prev == "NOUN" and not modal:
        return "NOUN"  # "a trash can."
    if word in SHADES and nxt in COLORS:
        return "ADJ"
    if word == "shot" and (prev in _INSIDE or before in _FRAMINGS):
        return "NOUN"  # "a medium shot taken", "a close-up shot"
    return ""


def _unknown(word: str, name: bool, before: str, nxt: str) -> tuple[str, str, bool]:
    """Returns tag, lemma and plural of an unknown word; `name`: capitalised within a sentence."""
    plural = word.endswith("s") and not word.endswith("ss")
    if name:
        return "PROPN", word, False
    pos = "ADV" if word.endswith("ly") else "NOUN"
    if word.endswith("ed") and _nominal(nxt):
        pos = "ADJ"
    if word.endswith("ing") and (before == "," or CLOSED.get(nxt) in ("DET", "PRON")):
        pos = "VERB"  # ", showcasing their variety"
    return pos, word[:-1] if plural and len(word) > 3 else word, plural


def _known(r: Reading, s: _Sentence, i: int, nxt: str, after: str) -> str:
    """Returns the tag of the open-class word `i`, whose reading is `r`."""
    entries = lexicon().entries
    word, before, prev = s.words[i], s.words[i - 1] if i else "", s.prev
    bare = prev == "NOUN" and not s.specified and not s.plurals[-1]
    if bare and r.noun and r.verb_form in ("", "s") and _bare_compound(r, before, nxt):
        return "NOUN"
    if prev == "ADV" and r.verb_form in ("g", "d") and s.tags[i - 2 : i - 1] == ["ADP"]:
        return "ADJ" if _nominal(nxt) else "VERB"  # "by carefully pruned azaleas"
    if before in ("has", "have") and r.verb_form and (
        _plural(nxt) or 4 * r.adj_count >= r.verb_count and _nominal(nxt)
    ):
        return "ADJ"  # "has curved horns"
    if before == "," and r.verb_form in ("g", "d") and _nominal(nxt) and _lacks_noun(s, i - 2):
        return "ADJ"  # "a large, glowing sign"
    if before == "," and r.verb_form == "g" and prev == "" and s.said:
        return "VERB"  # "..., revealing tan leather seats", but "In the distance, rolling hills"
    if before == "for" and r.verb_form == "g" and r.verb_count > r.noun_count and not r.adj:
        return "VERB"  # "used for storing accessories"
    if before in _SOME and r.verb_form == "g" and s.words[i - 2] == ",":
        return "VERB"  # "lily pads, some bearing pink flowers"
    if prev == "NOUN" and s.single and r.plural and r.verb_form == "s" and not _nominal(nxt):
        return "VERB"  # "a husky watches"
    if bare and r.plural and _no_subject(s, i, nxt):
        return "NOUN"  # "a basket of dinner rolls.", "has dark walls and light supports"
    if before in TITLES and r.verb_form == "s" and not (s.several or s.plurals[-1] or s.verb_seen):
        return "VERB"  # "the image features", "the photo shows"
    if prev == "NOUN" and s.several and not s.plurals[-1] and _goes_on(r, before, nxt):
        return "NOUN"  # "3 empty paint cans", "four cement mixing trucks"
    if prev == "NOUN" and s.plurals[-1] and s.single and r.noun and not r.plural:
        return "NOUN"  # "a farmers market"
    if prev in ("NOUN", "PROPN"):
        # Not for colours: WordNet lists butterflies named "small white" and "large white".
        pair = bool(i and r.noun) and word not in COLORS and f"{before} {r.noun}" in entries
        plural = s.plurals[-1] or before == "people"
        return _after_noun(r, word, before, plural, s.joined, s.verb_seen, nxt, pair)
    if (
        r.verb_form in ("g", "d", "")
        and nxt not in COLORS
        and f"{word} {_read(nxt).noun}" in entries
    ):
        if prev == "AUX" and r.verb_form:
            return "VERB"
        return "NOUN" if r.noun and prev != "PRON" else "ADJ"
    if before in ("another", "each") and r.verb_form == "s":
        return "VERB"  # "another waves": no plural follows it
    if prev in _INSIDE or prev == "PART" and (before != "to" or not r.verb):
        return _inside(r, nxt, after)
    if prev == "PART":
        return "VERB"
    return _start(r, word, before, nxt, after, prev, s.verb_seen)


def _no_subject(s: _Sentence, i: int, nxt: str) -> bool:
    """Whether the bare noun before the current word is an object, after which no verb follows."""
    if s.tags[-2:-1] == ["CCONJ"]:
        listed = nxt in _ENDS or nxt == "," or CLOSED.get(nxt) == "ADP"
        return s.said and listed and s.words[i - 3] != ","
    return s.tags[-2:-1] == ["ADP"] and (s.verb_seen or nxt in _ENDS)


def _lacks_noun(s: _Sentence, i: int) -> bool:
    """Whether words up to `i` are an article with adjectives, whose noun has not come yet."""
    first = i
    while first > max(0, i - 6) and s.tags[first] == "ADJ":
        first -= 1
    return first < i and s.tags[first] in _SPECIFIED and s.words[i] not in COLORS


def _goes_on(r: Reading, before: str, nxt: str) -> bool:
    """Whether a word continues a noun phrase that still needs a plural: "3 paint cans".

    A participle does after a material or an artifact: "cement mixing trucks".
    """
    if r.noun and r.plural:
        return True
    return r.verb_form == "g" and category(before) not in ("c", "p", "") and _plural(nxt)


def tag(words: list[str], originals: list[str]) -> tuple[list[str], list[str], list[bool]]:
    """Returns each token's tag (universal parts of speech), lemma, and whether it is a plural noun.

    `words` are the tokens in lower case, `originals` as written.
    """
    sentence = _Sentence(words, [], [])
    tags, plurals = sentence.tags, sentence.plurals
    lemmas: list[str] = []
    clause = Clause()
    before, ahead = "", [*words, "", ""]
    for i, word in enumerate(words):
        nxt, after = ahead[i + 1], ahead[i + 2]
        lemma, plural = word, False
        pos = _by_form(word)
        if not pos and (word in _BY_WORD or before in DEGREES):
            pos = _by_word(word, before, sentence.prev, nxt, after)
            if word == "cans":
                lemma, plural = "can", True
        pos = pos or CLOSED.get(word, "")
        if not pos:
            r = _read(word)
            if r.noun or r.verb or r.adj or r.adv:
                pos = _known(r, sentence, i, nxt, after)
                if pos == "NOUN":
                    lemma, plural = r.noun or word, r.plural
                elif pos in ("VERB", "ADJ"):
                    lemma = (r.verb if pos == "VERB" else r.adj) or word
            else:
                name = originals[i][:1].isupper() and not sentence.starts
                pos, lemma, plural = _unknown(word, name, before, nxt)
        tags.append(pos)
        plurals.append(plural)
        lemmas.append(lemma)
        sentence.advance(word, pos)
        if word in OPENERS or pos == "SPACE" and "\n" in word or i + 1 == len(words):
            if not clause.finite and pos != "AUX":
                verb = finite_verb(words, tags, plurals, (clause.first, i + 1), _read)
                if verb >= 0:
                    tags[verb], lemmas[verb], plurals[verb] = "VERB", _read(words[verb]).verb, False
            clause = Clause(i + 1)
        elif pos in _CLAUSE_TAGS:
            clause.note(word, pos, _read(word).verb_form if pos == "VERB" else "", before)
        before = word
    return tags, lemmas, plurals
