"""The order of an epoch's samples: a function of seed, epoch and position only.

So a run can be resumed at any position, with any number of processes, workers and machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finehard.dataset.reader import Shard

Ints = NDArray[np.int64]


class SampleIndex(NamedTuple):
    """The number of a shard, and of a sample in it, both from 0."""

    shard: int
    sample: int


class Sampler:
    """Shuffles shards, then the samples of each `window` consecutive shards.

    `seed` None: in the order of the shards. Memory grows with the number of shards and the samples
    of a window.
    """

    def __init__(self, shards: Sequence[Shard], seed: int | None, window: int = 16) -> None:
        self.sizes: Ints = np.array([s.samples for s in shards], dtype=np.int64)
        self.total = int(self.sizes.sum())
        self._seed = seed
        self._size = window
        self._epoch = lru_cache(2)(self._shuffle_shards)
        self._window = lru_cache(2)(self._shuffle_window)

    def indices(self, epoch: int, start: int, stop: int) -> list[SampleIndex]:
        """Returns the samples at positions `start` to `stop` of `epoch`. Raises `IndexError`."""
        _, begins = self._epoch(epoch)
        indices: list[SampleIndex] = []
        while start < stop:
            number = int(np.searchsorted(begins, start, side="right")) - 1
            shards, samples = self._window(epoch, number)
            first = start - int(begins[number])
            last = min(stop - int(begins[number]), len(samples))
            if first >= last:
                raise IndexError(f"position {start} of an epoch of {self.total} samples")
            indices += map(SampleIndex, shards[first:last].tolist(), samples[first:last].tolist())
            start += last - first
        return indices

    def _shuffle_shards(self, epoch: int) -> tuple[Ints, Ints]:
        """Returns the shards in the epoch's order, and the position at which each window begins."""
        count = len(self.sizes)
        order = np.arange(count)
        if self._seed is not None:
            order = np.random.default_rng((self._seed, epoch)).permutation(count)
        ends = np.concatenate([[0], np.cumsum(self.sizes[order])])
        return order, ends[:-1][:: self._size]

    def _shuffle_window(self, epoch: int, number: int) -> tuple[Ints, Ints]:
        order, _ = self._epoch(epoch)
        members = order[number * self._size : (number + 1) * self._size]
        sizes = self.sizes[members]
        shards = np.repeat(members, sizes)
        samples = np.concatenate([np.arange(n) for n in sizes])
        if self._seed is not None:
            mix = np.random.default_rng((self._seed, epoch, number)).permutation(len(shards))
            shards, samples = shards[mix], samples[mix]
        return shards, samples
