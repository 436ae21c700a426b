"""Makes half truths of long captions: the first sentence, and the same with one false detail.

The detail is a phrase of the rest of the caption with one attribute swapped, by the rules that
make hard negatives without a model. The same caption gives the same texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from finehard.benchmarks.folder import Folder
from finehard.benchmarks.items import Choices, Judged, Pairs
from finehard.digest import number

_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def half_truths(read: Callable[[Folder], Pairs]) -> Callable[[Folder], Choices]:
    """Returns a reader of the half truths made of each image's first caption; images whose caption
    gives none are left out and counted."""

    def made(folder: Folder) -> Choices:
        pairs = read(folder)
        detail = _details()
        items = []
        for pair in pairs.items:
            first, *rest = _SENTENCE.split(pair.captions[0].strip())
            if (added := detail(" ".join(rest))) is not None:
                false = f"{first.rstrip('.!? ')}, with {added}."
                items.append(Judged(pair.picture, (first,), (false,)))
        without = len(pairs.items) - len(items)
        note = (
            f"{without:,} of {len(pairs.items):,} captions give no half truth (one sentence, or no "
            "attribute to swap) and are left out"
        )
        return Choices(items, (*pairs.notes, *((note,) if without else ())))

    return made


def _details() -> Callable[[str], str | None]:
    """Returns a function from a text to a phrase of it with one attribute swapped, or None."""
    from finehard.negatives.lexicon import swaps
    from finehard.negatives.swap import pick
    from finehard.phrases import PhrasesConfig, extractor

    extract = extractor(PhrasesConfig(backend="wordnet"))

    def detail(text: str) -> str | None:
        phrases = extract(text).phrases if text else []
        start = number(text) % len(phrases) if phrases else 0
        for phrase in [*phrases[start:], *phrases[:start]]:
            if negatives := pick(phrase.text, swaps(phrase.text), 8)[0]:
                return negatives[number(phrase.text) % len(negatives)].text
        return None

    return detail
