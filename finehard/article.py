"""Chooses between "a" and "an" by pronunciation, as far as spelling shows it."""

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
"""Initialisms whose first letter is pronounced with a vowel."""
_LETTER = re.compile(r"([a-z])(?![a-z'])")
_SPOKEN_WITH_VOWEL = frozenset("aefhilmnorsx")
_DIGITS = re.compile(r"\d+")


def article(words: str) -> str:
    """Returns "an" if `words` begin with a vowel sound, else "a"."""
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


def with_article(words: str) -> str:
    """Returns `words` preceded by "a" or "an"."""
    return f"{article(words)} {words}"
