"""In which order an epoch sees its samples: a function of seed, epoch and position, nothing else.

So a run can go on anywhere, whatever reads the samples: number of processes, of workers, machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Shard(NamedTuple):
    """A tar of samples and how many it holds."""

    uri: str
    samples: int


class Place(NamedTuple):
    """A sample: the number of its shard, and its number in it, both from 0."""

    shard: int
    sample: int


class Order:
    """Shards are shuffled, then the samples of each `window` shards that follow each other.

    `seed` None: as they lie. Memory grows with the number of shards and the samples of a window.
    """

    def __init__(self, shards: Sequence[Shard], seed: int | None, window: int = 16) -> None:
        self.sizes: Numbers = np.array([s.samples for s in shards], dtype=np.int64)
        self.total = int(self.sizes.sum())
        self._seed = seed
        self._size = window
        self._epoch = lru_cache(2)(self._make_epoch)
        self._window = lru_cache(2)(self._make_window)

    def places(self, epoch: int, start: int, stop: int) -> list[Place]:
        """Where the samples lie that stand at positions `start` to `stop` of `epoch`."""
        _, begins = self._epoch(epoch)
        found: list[Place] = []
        while start < stop:
            number = int(np.searchsorted(begins, start, side="right")) - 1
            shards, samples = self._window(epoch, number)
            first = start - int(begins[number])
            last = min(stop - int(begins[number]), len(samples))
            if first >= last:
                raise IndexError(f"position {start} of an epoch of {self.total} samples")
            found += map(Place, shards[first:last].tolist(), samples[first:last].tolist())
            start += last - first
        return found

    def _make_epoch(self, epoch: int) -> tuple[Numbers, Numbers]:
        """The shards in this epoch's order, and the position at which each window begins."""
        count = len(self.sizes)
        order = np.arange(count)
        if self._seed is not None:
            order = np.random.default_rng((self._seed, epoch)).permutation(count)
        ends = np.concatenate([[0], np.cumsum(self.sizes[order])])
        return order, ends[:-1][:: self._size]

    def _make_window(self, epoch: int, number: int) -> tuple[Numbers, Numbers]:
        order, _ = self._epoch(epoch)
        members = order[number * self._size : (number + 1) * self._size]
        sizes = self.sizes[members]
        shards = np.repeat(members, sizes)
        samples = np.concatenate([np.arange(n) for n in sizes])
        if self._seed is not None:
            mix = np.random.default_rng((self._seed, epoch, number)).permutation(len(shards))
            shards, samples = shards[mix], samples[mix]
        return shards, samples
