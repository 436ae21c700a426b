"""The forms that a model's reply with swaps may have: how each is read, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from finehard.negatives.swap import Swap

_MOST = 100
"""Swaps of one text that are read: a model that is asked for 12 and loops may write hundreds."""
_LONGEST = 100
"""Characters of a word or phrase that is read."""


class ReplyForm(NamedTuple):
    """A form of reply. A prompt names its form as `reply:`, which is its schema's name too."""

    read: Callable[[list[Any]], Iterator[Swap | str]]
    """Returns the swaps in the entry of one text, and as text what is none there."""
    tokens_per_swap: float
    """About how many tokens a swap takes, with its share of what stands round it; from
    `bench.tokens`."""
    most_tokens_per_swap: float = math.inf
    """Where swaps are that short, they need not be allowed the config's `max_tokens`."""


def named_swaps(form: ReplyForm, reply: Any, number: int) -> tuple[list[Swap], list[str]]:
    """Returns the swaps under `number` in a reply, and as text what is no swap there.

    Takes any JSON value: what is missing, or of another form, costs only itself.
    """
    entry = reply.get(str(number)) if isinstance(reply, dict) else None
    named: list[Swap] = []
    others: list[str] = []
    if isinstance(entry, list):
        for item in islice(form.read(entry), _MOST):
            if isinstance(item, Swap) and max(map(len, item)) <= _LONGEST:
                named.append(item)
            else:
                others.append(str(item)[:_LONGEST])
    return named, others


def _read_objects(entry: list[Any]) -> Iterator[Swap | str]:
    """Reads {"attribute": "color", "original": "red", "replacement": "blue"}."""
    for item in entry:
        match item:
            case {
                "attribute": str(kind),
                "original": str(old),
                "replacement": str(new),
                **more,
            } if not more:
                yield Swap(kind, old, new)
            case _:
                yield str(item)


def _read_lists(entry: list[Any]) -> Iterator[Swap | str]:
    """Reads "red: blue, green". Takes a swap of each in turn, so that the first ones are of
    several attributes."""
    lists = []
    for item in entry:
        named = _read_list(item) if isinstance(item, str) else []
        if named:
            lists.append(named)
        else:
            yield str(item)
    for turn in zip_longest(*lists):
        yield from (swap for swap in turn if swap is not None)


def _read_list(text: str) -> list[Swap]:
    """Reads "red: blue, green", and what small models make of it: "red: blue, small: large"."""
    named = []
    original = ""
    for part in text.split(","):
        before, colon, word = part.rpartition(":")
        original = before.strip() if colon else original
        if original and word.strip():
            named.append(Swap("", original, word.strip()))
    return named


REPLY_FORMS = {
    "negatives": ReplyForm(_read_objects, 24.0),
    "negatives.lists": ReplyForm(_read_lists, 3.5, 12),
}
