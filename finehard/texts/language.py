"""The language of a text: whether its script and words are those that the prompt asks for.

Expected is what the prompt is written in, or names: a prompt in Russian, or one that says "in
Russian", gets Russian texts. Latin script is always expected, as names are written in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

STRAY = 0.02
"""Share of a text's letters in other scripts, beside signs and names, from which it is foreign."""
_WEIGHT = {"CJK": 3, "HANGUL": 2}
"""Latin letters that one letter of a script is worth; 1 for the others."""
_NAME_SHARE = 1 / 3
_NAME_LETTERS = {"CJK": 3, "HANGUL": 6}
"""What one name, in another script and unquoted, may take of a text, and its longest."""
_NAME_MOST = 18
_PARTICLES = frozenset("的在是了有和と")
"""Letters of sentences rather than names."""
_NAME_GAP = 2
"""Characters, at most, between two words of a name."""

_FOREIGN = re.compile("[\u0370-\u1dff\u2c00-\ud7ff\uf900-\ufdff\ufe70-\ufefc\uff66-\uffdc"
                      "\U00010280-\U0001cfff\U00020000-\U0003ffff]+")  # fmt: skip
"""Letters, and what stands between them, of other scripts than Latin."""
_SCRIPT_OF = {
    "HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK", "HALFWIDTH": "CJK",
    "IDEOGRAPHIC": "CJK", "BOPOMOFO": "CJK", "VERTICAL": "CJK",
}  # fmt: skip
_SCRIPTS_OF_LANGUAGE = {
    "chinese": ("CJK",), "mandarin": ("CJK",), "cantonese": ("CJK",), "japanese": ("CJK",),
    "korean": ("HANGUL", "CJK"), "russian": ("CYRILLIC",), "ukrainian": ("CYRILLIC",),
    "bulgarian": ("CYRILLIC",), "serbian": ("CYRILLIC",), "kazakh": ("CYRILLIC",),
    "persian": ("ARABIC",), "farsi": ("ARABIC",), "urdu": ("ARABIC",), "hindi": ("DEVANAGARI",),
    "marathi": ("DEVANAGARI",), "nepali": ("DEVANAGARI",), "burmese": ("MYANMAR",),
    "amharic": ("ETHIOPIC",), "punjabi": ("GURMUKHI",),
}  # fmt: skip
"""Other languages bear the name of their script: Greek, Arabic, Hebrew, Thai, Tamil."""

_QUOTED = re.compile(
    r"\"[^\"]{0,300}\"|“[^”]{0,300}”|‘[^’]{0,300}’|«[^»]{0,300}»|「[^」]{0,300}」|『[^』]{0,300}』"
    r"|《[^》]{0,300}》|\([^()]{0,300}\)|（[^）]{0,300}）|(?<!\w)'[^'\n]{1,300}'(?!\w)"
)
_WRITTEN = re.compile(
    r"\b(?:read(?:s|ing)?|sa(?:ys|ying|id)|words?|wording|characters?|texts?|letter(?:s|ing|ed)?"
    r"|label\w*|writ\w+|inscri\w+|titled?|kanji|hanzi|hanja|kana|hiragana|katakana|script|signs?"
    r"|signage|logo|brand(?:ed)?|nam(?:e|es|ed)|called|spell\w*|phrase|calligraph\w+|print(?:s|ed)?"
    r"|mark(?:ed|ing|ings)|symbols?|message|slogan|stamp(?:ed)?|tattoo\w*|banner|poster|engrav\w+"
    r"|packag\w+|menu|billboard|headline|caption(?:ed)?|glyphs?|displays?|destination|keyboard"
    r"|(?:black|white|chalk)board|formula|equation|cyrillic|greek|hebrew|arabic|chinese|japanese"
    r"|korean|russian|ukrainian|thai|hindi)\b",
    re.IGNORECASE,
)
_END = re.compile(r"[.!?。]\s*")
_WINDOW = 100
"""Characters before and after foreign letters in which a word of writing makes them a sign's."""

_COMMON = {
    "english": "the a an of and with on is are in to at by from its it that which there behind",
    "german": "der die das ein eine einen einem einer und mit auf ist sind im neben hinter dem den",
    "french": "le la les un une des du et avec sur est sont dans à au aux près derrière une",
    "spanish": "el la los las un una y con sobre es está están en del al junto detrás de",
    "italian": "il lo gli un una e con su è sono nel nella di della del accanto dietro sulla",
    "portuguese": "o os as um uma e com sobre é está são em no na do da ao lado atrás de",
    "swedish": "och en ett den det på med är som till av bredvid bakom framför står ligger vid",
    "polish": "i w na z jest są obok stoi leży do przy oraz się który która pod nad przed za",
    "turkish": "bir ve ile bu üzerinde yanında olan var için duruyor arkasında önünde masanın",
    "indonesian": "di dan yang dengan sebuah atas ada dari ini pada seorang berwarna samping",
    "vietnamese": "một và trên của có màu bên cạnh là với trong những cái chiếc đang",
    "hindi": "hai hain ek aur ke ki ka mein par ko se hua hui rakha rakhi paas uske upar saath",
    "dutch": "de het een en met op is zijn in naast achter van aan bij staat ligt",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_NAMED = re.compile(r"\b(?:in|into) (?!English\b|JSON\b)[A-Z][a-z]{3,}")
_FORBIDDEN = re.compile(
    r"\b(?:not|never|no|avoid|without|\w+n['’]t)"
    r"(?: (?:use|using|write|answer|reply|mix|include|add|any|a|in|with|words|letters|characters))*"
    r" [A-Z]\w+(?:(?:,| or| and)+ [A-Z]\w+)*"
)
"""Languages that a prompt names so that they are not used."""
_LEAST = 4
"""Common words of another language from which a text is in it."""
_SHARE = 1 / 3
"""Share of common words from which a shorter text is, where none is of the language expected."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Returns the words of `text` in lower case, without punctuation."""
    return _WORD.findall(text.lower())


class Language:
    """What `prompt`, a template, lets expect of the replies to it."""

    def __init__(self, prompt: str) -> None:
        words = words_of(prompt)
        allowed = _FORBIDDEN.sub(" ", prompt)
        asked_for = words_of(allowed)
        named = {script for word in asked_for for script in _SCRIPTS_OF_LANGUAGE.get(word, ())}
        used = {"", *map(_script, prompt)}
        self._scripts = frozenset(used | named | {word.upper() for word in asked_for})
        found = _hits(words)
        likeliest = max(found, key=lambda language: found[language])
        certain = found[likeliest] >= _LEAST and not _NAMED.search(allowed)
        self._language = likeliest if certain else None
        own = _WORDS[likeliest]
        self._others = frozenset(w for words in _WORDS.values() for w in words if w not in own)

    @property
    def is_english(self) -> bool:
        """Whether the replies should be in English, as far as the prompt's common words show."""
        return self._language == "english"

    def is_foreign(self, text: str, words: Sequence[str]) -> bool:
        """Whether `text` is, or partly is, in another language. `words` are those of `text`.

        Signs and names may be in any script: what is in quotes or brackets, or near a word such as
        "reads"; one name, and Greek letters as in formulas, anywhere; a word or two in a long text.
        """
        if self._strays(text):
            return True
        if self._language is None or len(self._others.intersection(words)) < 2:
            return False
        return self._in_another(words) and self._in_another(words_of(_QUOTED.sub(" ", text)))

    def _in_another(self, words: Sequence[str]) -> bool:
        found = _hits(words)
        expected = found.pop(str(self._language))
        most = max(found.values())
        if most >= _LEAST:
            return most > 2 * expected
        return most > 1 and not expected and most >= _SHARE * len(words)

    def _strays(self, text: str) -> bool:
        if text.isascii() or not _FOREIGN.search(text):
            return False
        letters = list(filter(str.isalpha, text))
        foreign = [script for script in map(_script, letters) if script not in self._scripts]
        if 2 * len(foreign) > len(letters):
            return True
        unquoted = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), text)
        runs = [
            (start, run, script)
            for start, run, script in _runs(unquoted)
            if script not in self._scripts
            and not (script == "GREEK" and len(run) == 1)
            and not _is_written(text, start, start + len(run))
        ]
        strays = sum(len(run) * _WEIGHT.get(script, 1) for _, run, script in runs)
        if strays <= STRAY * (len(letters) + strays):
            return False
        return strays > _NAME_SHARE * (len(letters) + strays) or not _is_name(runs)


def _is_written(text: str, start: int, end: int) -> bool:
    """Whether the sentence round `text[start:end]` speaks of something written, near to it."""
    before = _END.split(text[max(0, start - _WINDOW) : start])[-1]
    after = _END.split(text[end : end + _WINDOW], maxsplit=1)[0]
    return bool(_WRITTEN.search(before) or _WRITTEN.search(after))


def _is_name(runs: Sequence[tuple[int, str, str]]) -> bool:
    """Whether `runs`, as `_runs` yields them, are the words of one short name."""
    script = runs[0][2]
    if sum(len(run) for _, run, _ in runs) > _NAME_LETTERS.get(script, _NAME_MOST):
        return False
    end = runs[0][0]
    for start, run, own in runs:
        lower = run[0].lower() == run[0] != run[0].upper()
        if own != script or start - end > _NAME_GAP or lower or not _PARTICLES.isdisjoint(run):
            return False
        end = start + len(run)
    return True


def _hits(words: Sequence[str]) -> dict[str, int]:
    """Returns how many of `words` are common words of each language."""
    counts = Counter(words)
    return {language: sum(counts[w] for w in common) for language, common in _WORDS.items()}


def _runs(text: str) -> Iterator[tuple[int, str, str]]:
    """Yields the start, the letters and the script of each run of letters in one script."""
    for match in _FOREIGN.finditer(text):
        start, run, script = match.start(), "", ""
        for at, character in enumerate(match[0], match.start()):
            own = _script(character)
            if own != script and run:
                yield start, run, script
                run = ""
            if own:
                start, run, script = (start, run + character, own) if run else (at, character, own)
        if run:
            yield start, run, script


@lru_cache(maxsize=20_000)
def _script(character: str) -> str:
    """Returns the script of a letter, by its Unicode name; "" for Latin and for all else."""
    if not (character.isalpha() and _FOREIGN.match(character)):
        return ""
    first = unicodedata.name(character, "").split(" ", 1)[0]
    return "" if first in ("LATIN", "MODIFIER") else _SCRIPT_OF.get(first, first)
