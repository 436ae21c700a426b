"""The blind audit: how often the text alone tells a positive from its hard negatives.

A dataset passes when a classifier that sees no image does no better than chance. What it finds
beyond that a trained model can learn too, instead of looking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from finehard.audit.blind import Blind
from finehard.audit.item import Item
from finehard.audit.surface import Surface
from finehard.errors import FinehardError

WORDS_TOLD = 20


def audit(items: Callable[[], Iterable[Item]]) -> dict[str, Any]:
    """The audit's figures. `items` is called twice, and must give the same both times.

    Memory does not grow with the number of items. The result does not depend on their order, but
    for rounding. Raises `FinehardError` when no item has a negative.
    """
    blind, surface = Blind(), Surface()
    for item in items():
        if len(item.texts) > 1:
            blind.learn(item)
            surface.add(item)
    if not surface.items:
        raise FinehardError("nothing to audit: no text has hard negatives")
    blind.learned()
    for item in items():
        if len(item.texts) > 1:
            blind.guess(item)
    return {
        "items": surface.items,
        "negatives": surface.negatives,
        **blind.figures(),
        "surface": surface.figures(),
        "words": blind.telling(WORDS_TOLD),
    }
