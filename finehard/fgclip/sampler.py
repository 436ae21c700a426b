"""The order of an epoch's samples: a function of seed, epoch and position only.

So a run can be resumed at any position, with any number of processes, workers and machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class _Piece(NamedTuple):
    """Samples of a shard that an epoch takes: from `first` to `stop` of the order of its `turn`."""

    shard: int
    first: int
    stop: int
    turn: int


class Sampler:
    """Shuffles shards, then the samples of each `window` consecutive shards.

    `seed` None: in the order of the shards. `weights`, one a shard, say how often each of its
    samples is in an epoch (default 1): with 2.5, twice in every epoch and once more in every second
    one. Memory grows with the number of shards and the samples of a window.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        seed: int | None,
        window: int = 16,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.sizes: Ints = np.array([s.samples for s in shards], dtype=np.int64)
        self._groups = _groups(self.sizes, weights)
        self.total = sum(taken for _, taken in self._groups)
        self._seed = seed
        self._size = window
        self._epoch = lru_cache(2)(self._shuffle_pieces)
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

    def _shuffle_pieces(self, epoch: int) -> tuple[list[_Piece], Ints]:
        """Returns the pieces in the epoch's order, and the position at which each window begins."""
        pieces = [p for group in self._groups for p in self._pieces(*group, epoch)]
        if self._seed is not None:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(pieces))
            pieces = [pieces[i] for i in order]
        ends = np.cumsum([0, *(p.stop - p.first for p in pieces)])
        return pieces, ends[:-1][:: self._size]

    def _pieces(self, members: Ints, taken: int, epoch: int) -> Iterator[_Piece]:
        """Yields what `epoch` takes of a group's endless stream: its shards, turn after turn, each
        turn in an order of its own. An epoch takes the next `taken` samples."""
        count = int(self.sizes[members].sum())
        position, stop = epoch * taken, (epoch + 1) * taken
        while position < stop:
            turn, within = divmod(position, count)
            cut = within > 0 or stop - position < count
            order = self._order(members, turn) if cut else members
            end = within + stop - position
            start = 0
            for shard in order.tolist():
                size = int(self.sizes[shard])
                first, last = max(within, start) - start, min(end, start + size) - start
                if first < last or not cut:  # an empty shard is a piece too: orders of old runs
                    yield _Piece(shard, first, last, turn)
                start += size
            position += min(end, count) - within

    def _order(self, values: Ints, *key: int) -> Ints:
        """Returns `values` in an order that `key` decides."""
        if self._seed is None:
            return values
        return np.random.default_rng((self._seed, _PARTIAL, *key)).permutation(values)

    def _shuffle_window(self, epoch: int, number: int) -> tuple[Ints, Ints]:
        pieces, _ = self._epoch(epoch)
        members = pieces[number * self._size : (number + 1) * self._size]
        shards = np.repeat([p.shard for p in members], [p.stop - p.first for p in members])
        samples = np.concatenate([self._samples(p) for p in members])
        if self._seed is not None:
            mix = np.random.default_rng((self._seed, epoch, number)).permutation(len(shards))
            shards, samples = shards[mix], samples[mix]
        return shards, samples

    def _samples(self, piece: _Piece) -> Ints:
        size = int(self.sizes[piece.shard])
        if piece.stop - piece.first == size:
            return np.arange(size)
        return self._order(np.arange(size), piece.turn, piece.shard)[piece.first : piece.stop]


_PARTIAL = 1 << 32
"""Sets the keys of partial turns' orders apart from those of epochs."""


def _groups(sizes: Ints, weights: Sequence[float] | None) -> list[tuple[Ints, int]]:
    """Returns for each weight its shards, and how many samples of them an epoch takes."""
    each = np.array(weights or [1.0] * len(sizes))
    groups = []
    for weight in dict.fromkeys(each.tolist()):
        members = np.flatnonzero(each == weight)
        groups.append((members, round(weight * int(sizes[members].sum()))))
    return groups
