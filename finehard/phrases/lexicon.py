"""A reduced WordNet: possible readings of a word form, and categories of its noun senses.

`data/lexicon.txt.xz` has one word per line: the word, a tab, then for each part of speech
`n|v|a|r` + number of senses, "," + number of taggings. A noun also has the lexicographer category
of each of its first senses as a letter (a = 3, noun.Tops ... z = 28, noun.time), and the number of
taggings of each. Blocks follow: irregular forms in `#noun`, `#verb` and `#adj`; nouns with their
hypernyms in `#broader`; nouns for rooms and places that can contain a whole scene in `#venue`.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

PATH = Path(__file__).parent / "data" / "lexicon.txt.xz"
PHYSICAL = frozenset("acdfkopry")
"""Letters of the categories tops (person, animal, food ...), animal, artifact, body, food, object,
person, plant, substance."""

PLURAL_ONLY = frozenset(
    ("jeans", "pants", "trousers", "scissors", "sunglasses", "goggles", "binoculars", "headphones")
)
"""Plurals that are their own lemma."""

_NOUN = (("ies", "y"), ("ves", "f"), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"),
         ("shes", "sh"), ("men", "man"), ("oes", "o"), ("s", ""))  # fmt: skip
_VERB = {
    "g": (("ing", ""), ("ing", "e")),
    "d": (("ied", "y"), ("ed", ""), ("ed", "e")),
    "s": (("ies", "y"), ("es", ""), ("es", "e"), ("s", "")),
}
_ADJ = (("iest", "y"), ("ier", "y"), ("est", ""), ("er", ""), ("est", "e"), ("er", "e"))


@dataclass(frozen=True)
class Reading:
    """Possible readings of a word form. An impossible one has an empty lemma and a count of 0."""

    noun: str = ""
    noun_count: int = 0
    plural: bool = False
    verb: str = ""
    verb_count: int = 0
    verb_form: str = ""
    """"" base, "s" third person, "g" -ing, "d" past or participle."""
    adj: str = ""
    adj_count: int = 0
    adv: str = ""
    adv_count: int = 0


@dataclass(frozen=True)
class Lexicon:
    """The loaded file. Entries are text, split on access."""

    entries: dict[str, str]
    irregular: dict[str, dict[str, str]]

    def part(self, word: str, pos: str) -> list[str] | None:
        """Returns the comma-separated fields of one part of speech of a word, or None."""
        for entry in self.entries.get(word, "").split(" "):
            if entry[:1] == pos:
                return entry[1:].split(",")
        return None

    def count(self, word: str, pos: str) -> int:
        """Returns the taggings of a word as a part of speech plus one; 0 if it cannot be one."""
        fields = self.part(word, pos)
        return int(fields[1]) + 1 if fields else 0


@cache
def lexicon() -> Lexicon:
    """Returns the vendored lexicon, loaded once per process (about 0.2 s)."""
    text = lzma.decompress(PATH.read_bytes()).decode("utf-8")
    words, *blocks = text.split("\n#")
    entries = dict(line.split("\t") for line in words.splitlines()[1:])
    irregular = {}
    for block in blocks:
        name, *lines = block.splitlines()
        irregular[name] = dict(line.split(" ") for line in lines)
    return Lexicon(entries, irregular)


@cache
def version() -> str:
    """Returns WordNet's version and the hash of the vendored file."""
    return "3.0-" + hashlib.sha256(PATH.read_bytes()).hexdigest()[:12]


def _doubled(stem: str) -> str:
    """Returns a stem without its doubled consonant: "run" for "runn"; "" if it has none."""
    return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiousl" else ""


def _noun(word: str, lex: Lexicon) -> tuple[str, bool]:
    if word in PLURAL_ONLY:
        return word, True
    irregular = lex.irregular["noun"].get(word)
    if irregular and irregular != word and lex.count(irregular, "n") >= lex.count(word, "n"):
        return irregular, True
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        for end, new in _NOUN:
            stem = word[: -len(end)] + new
            if word.endswith(end) and lex.count(stem, "n"):
                # "glasses" is also a word of its own, but the plural is as frequent.
                return stem, True
        if word.endswith("ves") and lex.count(word[:-3] + "fe", "n"):
            return word[:-3] + "fe", True
    elif word.endswith("men") and len(word) > 4 and lex.count(word[:-2] + "an", "n"):
        return word[:-2] + "an", True
    return (word, False) if lex.count(word, "n") else ("", False)


def _verb(word: str, lex: Lexicon) -> tuple[str, str]:
    irregular = lex.irregular["verb"].get(word)
    if irregular:
        form = "g" if word.endswith("ing") else "s" if word.endswith("s") else "d"
        return irregular, "" if irregular == word else form
    for form, rules in _VERB.items():
        for end, new in rules:
            if not word.endswith(end) or len(word) < len(end) + 2:
                continue
            stem = word[: -len(end)]
            if stem == "be":
                continue  # "bees"
            if lex.count(stem + new, "v") > (lex.count(word, "v") if form == "d" else 0):
                return stem + new, form  # "feed" is not a past tense of "fee"
            if form != "s" and (short := _doubled(stem)) and lex.count(short, "v"):
                return short, form
    return (word, "") if lex.count(word, "v") else ("", "")


def _adj(word: str, lex: Lexicon) -> str:
    if lex.count(word, "a"):
        return word
    if word in lex.irregular["adj"]:
        return lex.irregular["adj"][word]
    for end, new in _ADJ:
        stem = word[: -len(end)]
        if word.endswith(end) and len(stem) > 2:
            if lex.count(stem + new, "a"):
                return stem + new
            if (short := _doubled(stem)) and lex.count(short, "a"):
                return short
    return ""


@lru_cache(maxsize=100_000)
def reading(word: str) -> Reading:
    """Returns all readings of a lower-case word form, empty for unknown words."""
    lex = lexicon()
    noun, plural = _noun(word, lex)
    verb, form = _verb(word, lex)
    adj = _adj(word, lex)
    return Reading(
        noun, lex.count(noun, "n") if noun else 0, plural,
        verb, lex.count(verb, "v") if verb else 0, form,
        adj, lex.count(adj, "a") if adj else 0,
        word if lex.count(word, "r") else "", lex.count(word, "r"),
    )  # fmt: skip


@lru_cache(maxsize=100_000)
def broader(noun: str) -> tuple[str, ...]:
    """Returns the hypernyms of a noun: dog and animal for "retriever"."""
    return tuple(lexicon().irregular["broader"].get(noun, "").split(","))


def compound_of(word: str, head: str) -> bool:
    """Whether a word is a closed compound of a noun and `head`: "sailboat", but not "woman"."""
    return word != head and word.endswith(head) and bool(reading(word[: -len(head)]).noun)


def venue(noun: str) -> bool:
    """Whether a noun is a room or place that can contain a whole scene."""
    return noun in lexicon().irregular["venue"]


@lru_cache(maxsize=100_000)
def category(noun: str) -> str:
    """Returns the letter of the category of a noun's first sense; "" for an unknown word."""
    fields = lexicon().part(noun, "n")
    return fields[2][0] if fields else ""


@lru_cache(maxsize=100_000)
def physical(noun: str) -> bool:
    """Whether a common sense of a noun is a physical object.

    Common senses are the first, one or two more if WordNet has few taggings, and any tagged at
    least a fifth as often as the most frequent. Unknown nouns count as physical ("hoodie").
    """
    fields = lexicon().part(noun, "n")
    if not fields:
        return True
    letters = fields[2]
    tags = [int(t or 0) for t in fields[3].split(".")]
    tags += [0] * (len(letters) - len(tags))
    least = max(1, max(tags) / 5)
    first = 3 if max(tags) < 3 else 2 if max(tags) < 10 else 1
    return any(
        letter in PHYSICAL and (k < first or tags[k] >= least) for k, letter in enumerate(letters)
    )
