"""The end of a text: whether it breaks off, and where its last whole sentence ends."""

from __future__ import annotations

import re
from collections.abc import Sequence

from finehard.texts.boilerplate import SENTENCE

_WHOLE = tuple(".!?…。！？।؟\"”’'»」』)]）:;")
_OPEN = frozenset(("a", "an", "the", "and", "or", "of", "its", "their", "with"))
"""Words after which a text goes on."""
_VOWEL = re.compile(r"[aeiouyäöü]")
_BEGUN = ("bl", "br", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "kn", "pl", "pr", "sl", "sn", "sw",
          "tr", "tw", "wh", "wr")  # fmt: skip
"""Sounds with which syllables begin, and no English word ends."""
_SHORT_WORDS = frozenset(
    """
    ace act ad age air ale all am ant any ape arc are arm art as ash at axe bag ban bar bat bay
    be bed bee bib big bin bit bob bow box boy bud bug bun bus by cab can cap car cat cm cob cod
    cop cot cow cry cub cue cup cut dad dam day den dew die dim dip dj do dog dot dry due dye
    ear eat eel egg elk elm end era eve ewe eye fan far fat few fig fin fir fit fix flu fly fog
    for fox fry ft fun fur gap gas gem gin go gum gun gut guy gym ham hat hay hem hen her hex
    hey hi him hip his hit hog hot how hub hue hug hum hut ice icy if in ink inn is it ivy jam
    jar jaw jet jib job jog joy jug keg key kg kid kit km lab lap law lay lb leg let lid lie lip
    lit log lot low mad man map mat me men met mid mix mm mop mow mud mug my nap neo net new nib
    no nor not now nun nut oak oar oat odd off oil ok old on one orb ore our out owl own ox pad
    pan par pat paw pay pc pea peg pen pet pew pie pig pin pit ply pm pod pop pot pro pub pug
    pup put rag ram raw ray red rib rig rim rob rod row rub rug rum run rv rye sap saw sea see
    set she shy sir sit six ski sky so sow spa spy sub sum sun tab tag tan tap tar tax tea tee
    ten the tie tin tip to toe ton too top toy try tub tug tux tv two up urn us uv van vat vet
    via vow wad wag war was wax way we web wet who why wig win wok wry yak yam yes yet yew you
    zip zoo
    """.split()  # noqa: SIM905
)
"""Of up to three letters: any other is a piece of a word. Mostly those of WordNet."""
_CLAUSE = re.compile(
    r"(?:[,;:] .*|\w )\bthere (?:is|are)\b"
    r"|[,;:] .*\b(?:is|are|was|were|has|have|can|stands?|sits?|lies|hangs?|leans?|rests?|holds?"
    r"|wears?|shows?|looks?|runs?)\b"
)
"""A second clause: texts of one phrase go without a full stop, sentences like this do not."""
_REST_WORDS = 30
_REST_SHARE = 0.5
"""What must be left of a long text when its unfinished sentence is cut."""


def last_word_is_broken(text: str) -> bool:
    """Whether the last word of `text` is a piece of one, or one after which a text goes on."""
    if text.endswith(_WHOLE):
        return False
    last = text.rsplit(None, 1)[-1]
    if last.lower() in _OPEN or last.endswith((",", "-")):
        return True
    if not (last.isascii() and last.isalpha() and last.islower()):
        return False
    if len(last) <= 3:
        return len(last) > 1 and last not in _SHORT_WORDS
    return last.endswith(_BEGUN) or not _VOWEL.search(last)


def breaks_off(text: str) -> bool:
    """Whether `text`, of one sentence, has several clauses and no full stop."""
    return not text.endswith(_WHOLE) and not SENTENCE.search(text) and bool(_CLAUSE.search(text))


def whole_sentences(text: str) -> str:
    """Returns `text` up to its last whole sentence; `text` itself when it has only one."""
    if text.endswith(_WHOLE):
        return text
    ends = [match.start() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]] if ends else text


def enough(rest: str, words: Sequence[str]) -> bool:
    """Whether `rest` is enough of a text of `words` to stand for it."""
    left = len(rest.split())
    return left >= _REST_WORDS and left >= _REST_SHARE * len(words)
