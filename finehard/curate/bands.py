"""Pairs of hashes that are nearly equal, found without comparing all pairs.

The 64 bits are cut into 6 blocks. Hashes that differ in few bits agree in all of some two blocks:
each of the 15 pairs of blocks is a band, and hashes that are equal in it are candidates (Norouzi
et al. 2012, "Fast search in Hamming space with multi-index hashing"). A band is sorted once, and
no hash is compared with more than `WINDOW` neighbours in it, so that the time is linear however
much alike the pictures are.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
WINDOW = 256
_BLOCKS = 6
_BITS = 64
_ROWS = 1 << 20
"""Hashes that are looked up at a time, sorted: the more there are, the nearer to each other are the
places in the table that they lead to."""
_COMPARED = 1 << 22
"""Pairs that are compared at a time."""


def _bands() -> tuple[tuple[NDArray[np.intp], int], ...]:
    """Returns for each band the order of the bits that puts its own first, and how many these are.

    Blocks hold bits from all over the hash: neighbouring frequencies are alike.
    """
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(_BITS)
    blocks = np.array_split(shuffled, _BLOCKS)
    bands = []
    for chosen in combinations(range(_BLOCKS), 2):
        own = np.concatenate([blocks[n] for n in chosen])
        rest = [blocks[n] for n in range(_BLOCKS) if n not in chosen]
        bands.append((np.concatenate([own, *rest]), len(own)))
    return tuple(bands)


_ORDERS = _bands()
BANDS = len(_ORDERS)


class Near(NamedTuple):
    """Pairs of hashes: positions in the table and among those looked up, and the number of bits in
    which they differ."""

    stored: NDArray[np.int64]
    asked: NDArray[np.int64]
    distance: NDArray[np.uint8]


class Band:
    """One band of a table of hashes: 12 bytes a hash."""

    def __init__(self, number: int, hashes: Hashes) -> None:
        """`hashes` is (n,), n below 2**32."""
        self._number = number
        words = _reordered(hashes, number)
        order = np.argsort(words, kind="stable")
        self._words = words[order]
        self._order = order.astype(np.uint32)

    def near(self, hashes: Hashes, distance: int) -> list[Near]:
        """Returns the pairs of this band's hashes with `hashes`, (m,), that are equal in the band
        and differ in at most `distance` bits; of equal ones at most `WINDOW` for each of `hashes`.
        """
        return [
            found
            for start in range(0, len(hashes), _ROWS)
            for found in self._near(hashes[start : start + _ROWS], start, distance)
        ]

    def _near(self, hashes: Hashes, start: int, distance: int) -> list[Near]:
        words = _reordered(hashes, self._number)
        order = np.argsort(words, kind="stable")  # neighbours are looked up together
        words = words[order]
        others = np.uint64((1 << (_BITS - _ORDERS[self._number][1])) - 1)
        here = np.searchsorted(self._words, words)
        first = np.searchsorted(self._words, words & ~others)
        last = np.searchsorted(self._words, words | others, "right")
        first = np.maximum(first, here - WINDOW // 2)
        last = np.minimum(last, here + WINDOW // 2)
        counts = np.maximum(last - first, 0)
        found = []
        for rows in _stretches(counts):
            of = np.repeat(np.arange(len(rows)), counts[rows])
            begin = np.cumsum(counts[rows]) - counts[rows]
            at = first[rows][of] + np.arange(len(of)) - begin[of]
            bits = np.bitwise_count(self._words[at] ^ words[rows][of])
            near = np.flatnonzero(bits <= distance)
            asked = order[rows][of[near]] + start
            found.append(Near(self._order[at[near]].astype(np.int64), asked, bits[near]))
        return found


def _stretches(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Returns the rows that have any, in stretches of at most about `_COMPARED` in total."""
    rows = np.flatnonzero(counts)
    if not len(rows):
        return []
    part = np.cumsum(counts[rows]) // _COMPARED
    return np.split(rows, np.flatnonzero(np.diff(part)) + 1)


def _reordered(hashes: Hashes, band: int) -> Hashes:
    """Returns `hashes` with the bits of the band first."""
    words = np.empty(len(hashes), np.uint64)
    for start in range(0, len(hashes), _ROWS):
        some = hashes[start : start + _ROWS]
        bits = np.unpackbits(some.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
        packed = np.ascontiguousarray(np.packbits(bits[:, _ORDERS[band][0]], axis=1))
        words[start : start + _ROWS] = packed.view(">u8")[:, 0]
    return words
