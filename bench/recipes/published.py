"""The published recipe's pipeline: swaps are used as the model named them, unchecked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finehard.article import with_article
from finehard.negatives import Negatives
from finehard.negatives.reply import REPLY_FORMS, named_swaps
from finehard.negatives.swap import Swap
from finehard.records import HardNegative, Region
from pipelines.build_finehard import STAGES as OURS
from pipelines.build_finehard import build_finehard as published


class Unchecked(Negatives):
    """Short expressions -> the first `per_region` texts that the model's swaps make of them."""

    def _swapped(
        self, region: Region, reply: Any, number: int, dropped: dict[str, list[str]]
    ) -> Region:
        named, _ = named_swaps(REPLY_FORMS[self.prompt.reply], reply, number)
        made: dict[str, Swap] = {}
        for swap in named:
            made.setdefault(_swapped(region.short_expr, swap), swap)
        made.pop(region.short_expr, None)
        negatives = [
            HardNegative(text, "other", swap.original, swap.replacement)
            for text, swap in made.items()
        ]
        return replace(region, hard_negatives=tuple(negatives[: self.config.per_region]))


def _swapped(text: str, swap: Swap) -> str:
    """Returns a text that begins with an article with a word replaced."""
    _, words = text.replace(swap.original, swap.replacement, 1).split(" ", 1)
    return with_article(words)


STAGES = tuple(Unchecked if stage is Negatives else stage for stage in OURS)
__all__ = ["STAGES", "published"]
