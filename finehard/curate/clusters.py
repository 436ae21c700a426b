"""Copies of copies: which pictures belong together, and which of them stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def clusters(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Returns the numbers that `pairs` join, directly or through others, as sorted lists in the
    order of their smallest. Memory grows with the pairs alone."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    joined: dict[int, list[int]] = {}
    for number in sorted(parent):
        joined.setdefault(root(number), []).append(number)
    return list(joined.values())


def kept(cluster: list[int], order: Callable[[int], Any]) -> tuple[int, list[int]]:
    """Returns the member of `cluster` that stays, the least by `order`, and the others."""
    stays = min(cluster, key=order)
    return stays, [number for number in cluster if number != stays]
