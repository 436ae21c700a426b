"""The blind audit: how often texts alone give away which one is true.

A dataset passes if classifiers that see no images are no better than chance. Whatever they achieve
beyond that, a trained model can learn too, without looking at images. There are two: naive Bayes
over pairs of words on all items, and a conditional logit over many traits on a sample of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from finehard.audit.blind import BlindClassifier
from finehard.audit.interval import verdict, wilson
from finehard.audit.item import Item
from finehard.audit.ranker import Ranker
from finehard.audit.surface import Surface
from finehard.errors import FinehardError

TELLING_WORDS = 20


def audit(items: Callable[[], Iterable[Item]]) -> dict[str, Any]:
    """The audit's figures. `items` is called twice and must return the same items both times.

    Memory does not grow with the number of items. Their order changes nothing but rounding. Raises
    `FinehardError` if no item has a negative.
    """
    blind, surface, ranker = BlindClassifier(), Surface(), Ranker()
    for item in items():
        if len(item.texts) > 1:
            blind.count(item)
            surface.add(item)
            ranker.add(item)
    if not surface.items:
        raise FinehardError("nothing to audit: no text has hard negatives")
    blind.fit()
    for item in items():
        if len(item.texts) > 1:
            blind.predict(item)
    bigrams = blind.figures()
    accuracy, chance = bigrams["accuracy"], bigrams["chance"]
    return {
        "items": surface.items,
        "negatives": surface.negatives,
        **bigrams,
        "interval": [round(end, 4) for end in wilson(accuracy, surface.items)],
        "verdict": verdict(accuracy, surface.items, chance),
        "traits": ranker.figures(),
        "surface": surface.figures(),
        "words": blind.telling(TELLING_WORDS),
    }
