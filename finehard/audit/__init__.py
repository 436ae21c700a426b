"""The blind audit: how often texts alone give away which one is true.

A dataset passes if a classifier that sees no images is no better than chance. Whatever it achieves
beyond that, a trained model can learn too, without looking at images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from finehard.audit.blind import BlindClassifier
from finehard.audit.item import Item
from finehard.audit.surface import Surface
from finehard.errors import FinehardError

TELLING_WORDS = 20


def audit(items: Callable[[], Iterable[Item]]) -> dict[str, Any]:
    """The audit's figures. `items` is called twice and must return the same items both times.

    Memory does not grow with the number of items. Their order changes nothing but rounding. Raises
    `FinehardError` if no item has a negative.
    """
    blind, surface = BlindClassifier(), Surface()
    for item in items():
        if len(item.texts) > 1:
            blind.count(item)
            surface.add(item)
    if not surface.items:
        raise FinehardError("nothing to audit: no text has hard negatives")
    blind.fit()
    for item in items():
        if len(item.texts) > 1:
            blind.predict(item)
    return {
        "items": surface.items,
        "negatives": surface.negatives,
        **blind.figures(),
        "surface": surface.figures(),
        "words": blind.telling(TELLING_WORDS),
    }
