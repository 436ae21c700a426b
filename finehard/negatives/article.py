"""Whether a word wants "a" or "an": by its sound, as far as spelling tells it."""

from __future__ import annotations

import re
import unicodedata

_SPOKEN_AS_CONSONANT = re.compile(
    r"""one(?!r) | once                                          # one-eyed; but onerous
    | eu | ewe
    | uni(?:[cfoqtvlp]|sex|son|dir|bod)                          # uniform; but unidentified
    | us(?:[aeu]|ing|b\b|\b) | ut[aeio] | ur[aeiu] | uk | ubi | uv | ufo | ugand""",
    re.VERBOSE,
)
_SILENT_H = re.compile(r"hour|honest|honou?r|heir")
_SPELLED = re.compile(r"(?:LED|LCD|LP|MP\d?|SUV|RV|HD|HP|FM|XX?L|NBA|NFL|SOS)\b")
"""Capitals that are spoken letter by letter, the first of which begins with a vowel's sound."""
_LETTER = re.compile(r"([a-z])(?![a-z'])")
_SPOKEN_WITH_VOWEL = frozenset("aefhilmnorsx")
_DIGITS = re.compile(r"\d+")


def article(words: str) -> str:
    """ "an" where `words` begin with the sound of a vowel, else "a"."""
    spelled = words.lstrip("\"'([")
    word = unicodedata.normalize("NFD", spelled).lower()
    if digits := _DIGITS.match(word):
        leading = digits[0][: (len(digits[0]) - 1) % 3 + 1]  # 11,000 is spoken as 11
        return "an" if leading[0] == "8" or leading in ("11", "18") else "a"
    if letter := _LETTER.match(word):  # U-shaped, X-ray
        return "an" if letter[1] in _SPOKEN_WITH_VOWEL else "a"
    if _SILENT_H.match(word) or _SPELLED.match(spelled):
        return "an"
    return "an" if word[:1] in tuple("aeiou") and not _SPOKEN_AS_CONSONANT.match(word) else "a"
