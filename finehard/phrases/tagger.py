"""A rule-based part-of-speech tagger that uses WordNet's counts and neighbouring words.

It is designed for captions: present tense, declarative, concrete. Rules use the preceding tag and
the following words; there is no trained model.
"""

from __future__ import annotations

from dataclasses import dataclass

from finehard.phrases.by_word import BY_WORD, by_form, by_word
from finehard.phrases.clauses import OPENERS, Clause, finite_verb
from finehard.phrases.lexicon import Reading, category, lexicon
from finehard.phrases.readings import bare_compound, is_plural, is_thing, modifies, nominal, read
from finehard.phrases.words import CLOSED, COLORS, DEGREES, NUMBERS, POSSESSIVES, TITLES

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
_ENDS = frozenset(".!?;:\n")
_UNCHANGED = frozenset(("set", "cut", "put", "shut", "split", "spread", "cast"))
"""Verbs whose participle is the base form."""
_LAID = frozenset(("spread", "cast", "shut"))
"""Those of them that are hardly nouns after another noun."""


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
    if r.noun and not (plural or r.verb_form) and nxt not in CLOSED and read(nxt).verb_form == "s":
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
        return "VERB" if closed_next or not nominal(nxt) or not r.adj else "ADJ"
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


def _start(
    r: Reading, word: str, before: str, nxt: str, after: str, prev: str, verb_seen: bool
) -> str:
    """Returns the tag of an open-class word that begins a noun phrase or is a verb."""
    object_next = CLOSED.get(nxt) in ("DET", "NUM", "ADP", "PRON", "PART") or nxt == "her"
    if r.adv_count > max(r.noun_count, r.adj_count, r.verb_count):
        return "ADV"
    if (
        before in _RELATIVES
        and r.verb_form == "s"
        and nxt != "of"
        and 2 * r.verb_count >= r.noun_count
    ):
        return "VERB"  # "sauce that drips down"
    if r.verb_form == "s" and (r.verb_count > r.noun_count and CLOSED.get(nxt) == "PRON"):
        return "VERB"
    if r.verb_form == "s" and nxt in _OBJECTS:
        return "VERB"  # "and fans herself"
    if prev == "" and nxt == "of" and r.noun and r.verb_form == "s":
        return "NOUN"  # "Drips of paint"
    if prev == "" and is_thing(r):
        return "NOUN"  # "Scaffolding covers the front"
    if r.verb_form in ("g", "d"):
        after_pronoun = prev == "PRON" and r.verb_form == "g"  # "many of them holding fans"
        if prev == "AUX" or after_pronoun or prev == "ADV" and not (r.adj and nominal(nxt)):
            return "VERB"
        if object_next or not modifies(r, nxt, after):
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
    if prev == "AUX" and r.adj and (r.adj_count >= r.noun_count or not nominal(nxt)):
        return "ADJ"
    return _inside(r, nxt, after)


def _inside(r: Reading, nxt: str, after: str) -> str:
    """Returns the tag of an open-class word in a noun phrase that has no noun yet."""
    more = modifies(r, nxt, after)
    if is_thing(r):
        return "NOUN"  # "the building faces"
    if nxt in (",", "and") and r.adj_count > r.noun_count:
        return "ADJ"
    if r.adv and not r.noun and r.adv_count > r.adj_count and nominal(nxt):
        return "ADV"
    following = read(nxt)
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
        if pos == "AUX" or pos == "VERB" and read(word).verb_form not in ("g", "d"):
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


_CLAUSE_TAGS = frozenset({"AUX", "VERB", "PUNCT", "PRON", "SCONJ"})


def _unknown(word: str, name: bool, before: str, nxt: str) -> tuple[str, str, bool]:
    """Returns tag, lemma and plural of an unknown word; `name`: capitalised within a sentence."""
    plural = word.endswith("s") and not word.endswith("ss")
    if name:
        return "PROPN", word, False
    pos = "ADV" if word.endswith("ly") else "NOUN"
    if word.endswith("ed") and nominal(nxt):
        pos = "ADJ"
    if word.endswith("ing") and (before == "," or CLOSED.get(nxt) in ("DET", "PRON")):
        pos = "VERB"  # ", showcasing their variety"
    return pos, word[:-1] if plural and len(word) > 3 else word, plural


def _known(r: Reading, s: _Sentence, i: int, nxt: str, after: str) -> str:
    """Returns the tag of the open-class word `i`, whose reading is `r`."""
    entries = lexicon().entries
    word, before, prev = s.words[i], s.words[i - 1] if i else "", s.prev
    bare = prev == "NOUN" and not s.specified and not s.plurals[-1]
    if bare and r.noun and r.verb_form in ("", "s") and bare_compound(r, before, nxt):
        return "NOUN"
    if prev == "ADV" and r.verb_form in ("g", "d") and s.tags[i - 2 : i - 1] == ["ADP"]:
        return "ADJ" if nominal(nxt) else "VERB"  # "by carefully pruned azaleas"
    if (
        before in ("has", "have")
        and r.verb_form
        and (is_plural(nxt) or 4 * r.adj_count >= r.verb_count and nominal(nxt))
    ):
        return "ADJ"  # "has curved horns"
    if before == "," and r.verb_form in ("g", "d") and nominal(nxt) and _lacks_noun(s, i - 2):
        return "ADJ"  # "a large, glowing sign"
    if before == "," and r.verb_form == "g" and prev == "" and s.said:
        return "VERB"  # "..., revealing tan leather seats", but "In the distance, rolling hills"
    if before == "for" and r.verb_form == "g" and r.verb_count > r.noun_count and not r.adj:
        return "VERB"  # "used for storing accessories"
    if before in _SOME and r.verb_form == "g" and s.words[i - 2] == ",":
        return "VERB"  # "lily pads, some bearing pink flowers"
    if prev == "NOUN" and s.single and r.plural and r.verb_form == "s" and not nominal(nxt):
        return "VERB"  # "a husky watches"
    if bare and r.plural and _no_subject(s, i, nxt):
        return "NOUN"  # "a basket of dinner rolls.", "has dark walls and light supports"
    if before in TITLES and r.verb_form == "s" and not (s.several or s.plurals[-1] or s.verb_seen):
        return "VERB"  # "the image features", "the photo shows"
    if prev == "NOUN" and s.several and not s.plurals[-1] and _goes_on(r, before, nxt):
        return "NOUN"  # "3 empty paint cans", "four cement mixing trucks"
    if prev == "NOUN" and s.plurals[-1] and s.single and r.noun and not r.plural:
        return "NOUN"  # "a farmers market"
    if prev == "NOUN" and word in _LAID and CLOSED.get(nxt) == "ADP" and nxt != "of":
        return "VERB"  # "a blanket spread on the grass"
    if prev == "NOUN" and nxt in ("whose", "which") and r.noun:
        return "NOUN"  # "a food stand whose menu"
    if prev in ("NOUN", "PROPN"):
        # Not for colours: WordNet lists butterflies named "small white" and "large white".
        pair = bool(i and r.noun) and word not in COLORS and f"{before} {r.noun}" in entries
        plural = s.plurals[-1] or before == "people"
        return _after_noun(r, word, before, plural, s.joined, s.verb_seen, nxt, pair)
    if (
        r.verb_form in ("g", "d", "")
        and nxt not in COLORS
        and f"{word} {read(nxt).noun}" in entries
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
    return r.verb_form == "g" and category(before) not in ("c", "p", "") and is_plural(nxt)


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
        pos = by_form(word)
        if not pos and (word in BY_WORD or before in DEGREES):
            pos = by_word(word, before, sentence.prev, nxt, after)
            if word == "cans":
                lemma, plural = "can", True
        pos = pos or CLOSED.get(word, "")
        if not pos:
            r = read(word)
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
                verb = finite_verb(words, tags, plurals, (clause.first, i + 1), read)
                if verb >= 0:
                    tags[verb], lemmas[verb], plurals[verb] = "VERB", read(words[verb]).verb, False
            clause = Clause(i + 1)
        elif pos in _CLAUSE_TAGS:
            clause.note(word, pos, read(word).verb_form if pos == "VERB" else "", before)
        before = word
    return tags, lemmas, plurals
