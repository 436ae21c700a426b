"""Pairs of pictures of which a view of one has nearly the hash of a view of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from finehard.curate.bands import Band, Hashes, Near
from finehard.curate.compare import Look, difference
from finehard.curate.config import CopiesConfig
from finehard.curate.fingerprint import MIRRORED, STORED, VIEWS

PAIR = np.dtype(
    [
        ("first", np.uint32),
        ("second", np.uint32),
        ("first_view", np.uint8),
        ("second_view", np.uint8),
        ("distance", np.uint8),
    ]
)
"""Two pictures by number, first < second or of two collections, and the views that are alike."""
Pairs = NDArray[np.void]
_TRIED = 3
"""Alignments of two pictures that are tried: those of the most similar views."""


def views_asked(config: CopiesConfig) -> int:
    """Returns how many of the views are looked for: the mirrored ones, which are the last, only
    where flips are copies."""
    return VIEWS if config.flips == "copies" else MIRRORED


class WithinBand:
    """Pairs of pictures of one collection that are alike in a band of the hashes."""

    def __init__(self, number: int, hashes: Hashes, config: CopiesConfig) -> None:
        """`hashes` is (n, VIEWS)."""
        self._band = Band(number, hashes[:, :STORED].reshape(-1))
        self._config = config

    def pairs(self, hashes: Hashes, start: int) -> Pairs:
        """Returns the pairs of the pictures with `hashes`, (m, VIEWS), which are those numbered
        from `start`, with any others."""
        asked = hashes[:, : views_asked(self._config)]
        near = self._band.near(np.ascontiguousarray(asked).reshape(-1), self._config.distance)
        found = _as_pairs(near, STORED, asked.shape[1], start)
        return best(_ordered(found[found["first"] != found["second"]]))


class Between:
    """Pairs of pictures of a fixed collection with one other picture after another."""

    def __init__(self, hashes: Hashes, config: CopiesConfig, bands: Iterable[int]) -> None:
        """`hashes` is (n, VIEWS), of the fixed collection."""
        self._views = views_asked(config)
        self._config = config
        stored = np.ascontiguousarray(hashes[:, :STORED]).reshape(-1)
        asked = np.ascontiguousarray(hashes[:, : self._views]).reshape(-1)
        self._bands = [(Band(number, stored), Band(number, asked)) for number in bands]

    def pairs(self, hashes: Hashes) -> Pairs:
        """Returns the pairs of the fixed collection's pictures (first) with those that have
        `hashes`, (m, VIEWS)."""
        asked = np.ascontiguousarray(hashes[:, : self._views]).reshape(-1)
        stored = np.ascontiguousarray(hashes[:, :STORED]).reshape(-1)
        distance = self._config.distance
        found = []
        for of_stored, of_asked in self._bands:
            found.append(_as_pairs(of_stored.near(asked, distance), STORED, self._views, 0))
            found.append(_as_pairs(of_asked.near(stored, distance), self._views, STORED, 0))
        return best(np.concatenate(found))


def _as_pairs(near: list[Near], stored: int, asked: int, start: int) -> Pairs:
    """Returns hashes' positions as pictures and views, of which collections have so many each."""
    found = np.empty(sum(len(some.stored) for some in near), PAIR)
    at = 0
    for some in near:
        rows = found[at : at + len(some.stored)]
        rows["first"], rows["first_view"] = np.divmod(some.stored, stored)
        rows["second"], rows["second_view"] = np.divmod(some.asked, asked)
        rows["second"] += np.uint32(start)
        rows["distance"] = some.distance
        at += len(some.stored)
    return found


def _ordered(pairs: Pairs) -> Pairs:
    """Returns pairs with the smaller number first."""
    turned = pairs["first"] > pairs["second"]
    swapped = pairs.copy()
    for one, other in (("first", "second"), ("second", "first")):
        swapped[one] = np.where(turned, pairs[other], pairs[one])
        swapped[f"{one}_view"] = np.where(turned, pairs[f"{other}_view"], pairs[f"{one}_view"])
    return swapped


def best(pairs: Pairs) -> Pairs:
    """Returns pairs sorted by pictures, each with its most similar views only, at most three."""
    order = np.lexsort(
        [pairs[name] for name in ("second_view", "first_view", "distance", "second", "first")]
    )
    pairs = pairs[order]
    if not len(pairs):
        return pairs
    repeated = np.zeros(len(pairs), bool)
    repeated[1:] = pairs[1:] == pairs[:-1]
    pairs = pairs[~repeated]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs["first"][1:] != pairs["first"][:-1]) | (
        pairs["second"][1:] != pairs["second"][:-1]
    )
    starts = np.flatnonzero(new)
    rank = np.arange(len(pairs)) - starts[np.cumsum(new) - 1]
    return pairs[rank < _TRIED]


def verified(
    pairs: Pairs,
    first: Callable[[int], Look],
    second: Callable[[int], Look],
    config: CopiesConfig,
) -> list[tuple[int, int, int, float]]:
    """Returns those of `pairs`, which are as from `best`, that are copies, with the distance of
    their hashes and the difference of their thumbnails; the looks are got by number."""
    copies: list[tuple[int, int, int, float]] = []
    for pair in pairs:
        numbers = int(pair["first"]), int(pair["second"])
        if copies and copies[-1][:2] == numbers:
            continue
        found = difference(
            first(numbers[0]), int(pair["first_view"]),
            second(numbers[1]), int(pair["second_view"]),
        )  # fmt: skip
        if found <= config.difference:
            copies.append((*numbers, int(pair["distance"]), found))
    return copies
