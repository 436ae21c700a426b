"""A long text made false in one place: a detail added, or a relation turned round."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from finehard.digest import number
from finehard.negatives.heads import words
from finehard.negatives.listed import listed
from finehard.phrases.kinds import UNGROUNDABLE
from finehard.phrases.lexicon import physical, reading

T = TypeVar("T")

REACH = 700
"""Characters of a text in which it may be changed: about the 248 tokens that the trainer reads."""
_ENDS = re.compile(r"[.!?](?=\s|$)")
_ADDED = (
    " next to {}", " beside {}", " near {}", " behind {}", " in front of {}", ", with {} nearby",
    ", with {} in the background",
)  # fmt: skip
_ADDED_TO_ANY = _ADDED[-2:]
"""What may follow a sentence that ends in no thing."""
_IN_THE_IMAGE = listed(
    "side left right top bottom edge corner end center centre middle front back rear background "
    "foreground image picture photo photograph frame scene view shot camera viewer surface part "
    "half portion sky sun light shadow air area surroundings setting other way phone display"
)
"""Nouns that say where in the image something is, or name no thing beside others."""
_UNCERTAIN = re.compile(
    r"\b(?:no|not|never|none|neither|nor|nothing|without|if|could|might|may|would|possibly|perhaps|"
    r"probably|seem\w*|appear\w*|suggest\w*)\b|n't\b",
    re.IGNORECASE,
)
"""In a sentence with these, a change need not make it false."""


class Falsehood(NamedTuple):
    """A text made false. `original` became `replacement`, which occurs in `text`; `claim` is what
    is false, said alone, to be asked about.

    `true` is the same text with a true detail in place of an added one, None where there is none:
    without such texts a longer one is always false.
    """

    text: str
    attribute: str
    original: str
    replacement: str
    claim: str
    true: str | None = None


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each sentence within `REACH` that states something, without its
    final punctuation."""
    start = 0
    for match in [*_ENDS.finditer(text), None]:
        end = match.start() if match else len(text)
        if end > REACH:
            return
        while start < end and text[start].isspace():
            start += 1
        if start < end and not _UNCERTAIN.search(text, start, end):
            yield start, end
        start = match.end() if match else end


def additions(text: str, details: Sequence[str], true: Sequence[str] = ()) -> list[Falsehood]:
    """Returns `text` with each of `details` added to a sentence: to one that ends in a thing, if
    there is any; none where no sentence ends in a word. `true` are details that are so."""
    places = [(start, end) for start, end in sentences(text) if text[end - 1].isalnum()]
    things = [(start, end) for start, end in places if _ends_in_thing(text[start:end])]
    phrases = _ADDED if things else _ADDED_TO_ANY
    made = []
    for detail in details if places else ():
        start, end = _drawn(things or places, f"sentence {text} {detail}")
        phrase = _drawn(phrases, f"place {text} {detail}")
        sentence, added = text[start:end], phrase.format(detail)
        false, other = f"{text[:end]}{added}{text[end:]}", None
        if true:
            shown = _drawn(true, f"true {text} {detail}")
            other = f"{text[:end]}{phrase.format(shown)}{text[end:]}"
        made.append(Falsehood(false, "addition", sentence, sentence + added, detail, other))
    return made


def _drawn(items: Sequence[T], seed: str) -> T:
    return items[number(seed) % len(items)]


def _ends_in_thing(sentence: str) -> bool:
    last = words(sentence)[-1]
    return last.head and is_thing(reading(last.lower).noun or last.lower)


def is_thing(noun: str) -> bool:
    """Whether a noun names a thing that can be beside another in an image."""
    return physical(noun) and noun not in UNGROUNDABLE | _IN_THE_IMAGE
