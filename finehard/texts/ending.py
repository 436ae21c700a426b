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
    ace act ad ado aft age ago air ale all am ant any ape apt arc are ark arm art as ash asp at
    auk awe awl awn axe bag ban bar bat bay be bed bee bib big bin bit boa bob bod bog bow box
    boy bra bud bug bum bun bur bus by cab cam can cap car cat cm cob cod cog con cop cot cow
    cry cub cud cue cup cut dad dam day den dew die dim dip dj do doc doe dog dot dry due dun
    duo dye ear eat eel eft egg ego elk elm emu end era eve ewe eye fan far fat fay fen few fez
    fig fin fir fit fix flu fly fob foe fog for fox fry ft fun fur gag gal gap gar gas gel gem
    gib gig gin gnu go gob god goo gum gun gut guy gym hag ham hat hay hem hen her hex hey hi
    him hip his hit hob hod hoe hog hop hot how hub hue hug hum hut ice icy if in ink inn ion is
    it ivy jab jag jam jar jaw jay jet jib jig job jog joy jug kea keg key kg kid kit km koi lab
    lad lag lap law lay lb led leg lei let lid lie lip lit log loo lot low lug lye mac mad man
    map mat max me men met mid mix mm moa mod mom mop mow mud mug mum my nap neo net new nib no
    nor not now nun nut oak oar oat obi odd ode off ohm oil ok old on one orb ore our out owl
    own ox pad pal pan pap par pat paw pay pc pea peg pen pet pew pic pie pig pin pip pit ply pm
    pod pom pop pot pow pro pub pug pup pus put rag ram raw ray red rep rib rig rim rob rod roe
    row rub rug rum run rv rye sac sap saw sax sea see set sew she shy sir sit six ski sky sly
    so sod son sow soy spa spy sty sub sue sum sun tab tag tam tan tap tar tax tea tee ten the
    tie tin tip to toe tom ton too top tot toy try tub tug tun tux tv two up urn us use uv van
    vas vat vet via vow wad wag wan war was wax way we web wee wet who why wig win wok wry yak
    yam yap yen yes yet yew yo you zip zoo
    atm bbq bmx cd cds dna dvd fm gps hdmi hz hp hq kph led lcd lcds lol mg mph mpg mp ml ms nw oz
    pcs pho psi pvc qr sms suv tbs tsp tvs ufo ups usb vcr vip vr vs xl yd
    """.split()  # noqa: SIM905
)
"""Of up to three letters: any other is a piece of a word. Mostly those of WordNet; and units and
abbreviations."""
_CLAUSE = re.compile(
    r"(?:[,;] .*|\w )\bthere (?:is|are)\b"
    r"|[,;] .*\b(?:is|are|was|were|has|have|can|stands?|sits?|lies|hangs?|leans?|rests?|holds?"
    r"|wears?|shows?|looks?|runs?)\b"
)
"""A second clause: texts of one phrase go without a full stop, sentences like this do not."""
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|can|stands?|sits?|lies|hangs?|leans?|rests?|holds?|wears?|shows?"
    r"|looks?|runs?)\b"
)
_PLAIN_END = re.compile(
    r"(?<![\w.-])(?!approx|etc|incl|max|min\b)[a-z][a-z'’-]{2,}[.!?][\"'”’)\]]*$"
)
"""The end of a sentence that no abbreviation or initial can be taken for."""
_REST_WORDS = 30
_REST_SHARE = 0.5
"""What must be left of a long text when its unfinished sentence is cut."""
_CERTAIN_WORDS = 5
_CERTAIN_SHARE = 0.3
"""The same where what is cut must be a sentence."""


def goes_on(text: str) -> bool:
    """Whether `text`, in English, ends with a word after which it goes on."""
    last = text.rsplit(None, 1)[-1]
    return last.lower() in _OPEN or last.endswith((",", "-"))


def breaks_off(text: str) -> bool:
    """Whether `text`, of a sentence or more in English, has no full stop but should have.

    It ends within a word, as far as its letters show that; or it is of one sentence, but of several
    clauses.
    """
    if text.endswith(_WHOLE):
        return False
    last = text.rsplit(None, 1)[-1]
    if last.isascii() and last.isalpha() and last.islower() and len(last) > 1:
        if last in _SHORT_WORDS:
            return False
        if len(last) <= 3 or last.endswith(_BEGUN) or not _VOWEL.search(last):
            return True
    return not SENTENCE.search(text) and bool(_CLAUSE.search(text))


def whole_sentences(text: str) -> str:
    """Returns `text` up to its last whole sentence; `text` itself when it has only one."""
    if text.endswith(_WHOLE):
        return text
    ends = [match.start() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]] if ends else text


def enough(rest: str, words: Sequence[str], text: str) -> bool:
    """Whether `rest`, the beginning of `text`, is enough of its `words` to stand for it."""
    left = len(rest.split())
    if left >= _REST_WORDS and left >= _REST_SHARE * len(words):
        return True
    certain = _PLAIN_END.search(rest, max(0, len(rest) - 40)) and _VERB.search(text, len(rest))
    return bool(certain) and left >= _CERTAIN_WORDS and left >= _CERTAIN_SHARE * len(words)
