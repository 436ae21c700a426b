"""Marks tokens by context: boilerplate sentences, negation, comparison, quoted text."""

from __future__ import annotations

import re

from finehard.phrases.chunks import Tokens
from finehard.phrases.words import GUESSES, LOOKS, READS_INTO

_BOILERPLATE = re.compile(
    r"\b(description|caption)s?\b.*\b(factual|objective|subjective|interpretation|accurate)"
    r"|^\W*(the |an? )?overall\b"
    r"|\b(mood|atmosphere|ambiance|ambience|vibe|aesthetic|(?<!of this )(?<!of the )composition)"
    r"\b.*\b"
    r"(is|are|feels|seems|appears)\b"
    r"|^\W*(the|this) (image|photo|photograph|picture|scene|composition|caption|setting) (\w+ )?"
    r"(conveys|evokes|suggests|does not|creates|exudes|feels|invites|has been|speaks|pays|tells"
    r"|reflects|has an? |not only|is (?:calm|peaceful|well[- ]lit|clear|sharp|taken|captured))\b"
    r"|^\W*the (\w+ )?(depth of field|composition|contrast|perspective|color palette|interplay"
    r"|focus on)\b"
    r"|^\W*(please|note|sorry|i)\b",
    re.IGNORECASE | re.DOTALL,
)
_QUOTES = frozenset('"“”')
_MAYBE = frozenset(("may", "might", "would", "whether"))
"""Words after which the clause guesses."""
_NOMINAL = frozenset({"NOUN", "PROPN", "NUM"})


def boilerplate(tokens: Tokens) -> list[bool]:
    """Returns for each token whether its sentence is about the description, not the image."""
    marks: list[bool] = []
    first = 0
    text, size = tokens.text, len(tokens)
    for i, word in enumerate(text, 1):
        if word in (".", "!", "?") or "\n" in word or i == size:
            sentence = " ".join(text[first:i])
            marks += [bool(_BOILERPLATE.search(sentence))] * (i - first)
            first = i
    return marks


def written(tokens: Tokens) -> list[bool]:
    """Returns for each token whether it is inside double quotation marks: text on a sign."""
    lower = tokens.lower
    if not _QUOTES.intersection(lower):
        return [False] * len(lower)
    marks: list[bool] = []
    inside = False
    remaining = sum(word in _QUOTES for word in lower)
    for word in lower:
        if word in _QUOTES:
            remaining -= 1
            inside = word == "“" or word == '"' and not inside and remaining > 0
        marks.append(inside)
    return marks


def _compares(tokens: Tokens, i: int) -> bool:
    """Whether "like" or "than" introduces a comparison ("looks like a toy").

    "What looks like a toy" names the toy, and "fruits like apples" are apples.
    """
    if tokens.lower[i] == "than":
        return True
    before = tokens.lemmas[i - 1] if i else ""
    likened = before in LOOKS or tokens.tags[i - 1] in ("ADV", "AUX", "PUNCT")
    return likened and (i < 2 or tokens.lower[i - 2] != "what")


def _guesses(tokens: Tokens, i: int) -> bool:
    """Whether a word begins a guess or a purpose: "possibly", "might", "for storing"."""
    word, after = tokens.lower[i], tokens.lower[i + 1 : i + 3]
    if word in GUESSES and tokens.tags[i] == "ADV":
        return tokens.tags[i + 1 : i + 2] != ["ADJ"]
    if word in _MAYBE:
        return after != ["be", "seen"]
    purpose = i > 0 and tokens.lower[i - 1] == "for" and tokens.tags[i] == "VERB"
    return purpose and word.endswith("ing")


def unseen(tokens: Tokens) -> list[str]:
    """Returns for each token the rule by which a noun phrase there is not depicted, or "".

    "absent": after "no" or "not", up to the next comma, "and", "but" or preposition; after
    "without" also up to the next finite verb ("a dog without a collar pulls ...").
    "comparison": after "looks like" or "than", up to the next comma or verb.
    "interpretation": after "suggests", "as if" or "in order to", up to the end of the sentence;
    after "possibly", "might" or "for" with a verb ("for storing tools"), up to the next comma.
    """
    marks: list[str] = []
    absent = read_into = lacking = compared = guessed = False
    mark = ""
    for i, (word, tag) in enumerate(zip(tokens.lower, tokens.tags, strict=True)):
        if tag in _NOMINAL:
            marks.append(mark)
            continue
        lacking = word == "without" or lacking and absent
        if word in (".", "!", "?", ";") or "\n" in word:
            absent = read_into = compared = guessed = False
        elif _guesses(tokens, i):
            guessed = True
        elif word == "to" and tokens.lower[max(0, i - 2) : i] == ["in", "order"]:
            read_into = True
        elif word in ("if", "though"):
            read_into = read_into or i > 0 and tokens.lower[i - 1] == "as"
        elif tag in ("VERB", "ADJ") and tokens.lemmas[i] in READS_INTO:
            read_into = True
        elif word in ("not", "n't"):
            absent = absent or tokens.lower[i + 1 : i + 2] != ["only"]
        elif word in ("no", "neither", "nor", "hardly", "without"):
            absent = True
        elif word in ("like", "than") and _compares(tokens, i):
            compared, absent = True, False
        elif word in (",", "but", "while", "and") or tag == "ADP" and word != "of":
            absent = False
            guessed = guessed and word != ","
            compared = compared and (word == "and" or tag == "ADP")
        elif tag in ("VERB", "AUX") and not word.endswith("ing"):
            absent = absent and not lacking
            compared = False
        mark = (
            "interpretation"
            if read_into or guessed
            else "absent"
            if absent
            else "comparison"
            if compared
            else ""
        )
        marks.append(mark)
    return marks


def sentence_marks(tokens: Tokens) -> list[str]:
    """Returns for each token the rule that drops a noun phrase that begins there, or ""."""
    talk, quoted = boilerplate(tokens), written(tokens)
    return [
        "boilerplate" if of_caption else "written" if text else rule
        for of_caption, text, rule in zip(talk, quoted, unseen(tokens), strict=True)
    ]
