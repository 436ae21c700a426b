"""Encodes a benchmark by all processes of a training run, each its share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from torch.distributed import ProcessGroup

from finehard.benchmarks.encoder import Encoder, Item, Missing
from finehard.benchmarks.items import Boxed
from finehard.benchmarks.model import Features, Model, TextKind
from finehard.errors import FinehardError, typed_error_line
from finehard.fgclip import distributed

T = TypeVar("T")
Rows = list[tuple[int, Any]]
"""The position of an item, and its features."""


class SharedEncoder(Encoder):
    """An `Encoder` in each of several processes: every one decodes and encodes an equal share, and
    all get the features of all, in the order of the items.

    An error in one process is raised in every one. Collectives are those of `group`.
    """

    def __init__(self, model: Model, group: ProcessGroup | None) -> None:
        super().__init__(model)
        self._group = group

    def encode_images(self, items: Sequence[Item]) -> Iterator[tuple[list[Item], Features]]:
        for batch, rows in self._shared(items, super().encode_images):
            yield batch, np.stack(rows)

    def encode_boxes(self, items: Sequence[Boxed]) -> Iterator[tuple[list[Boxed], list[Features]]]:
        yield from self._shared(items, super().encode_boxes)

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        own = texts[distributed.rank() :: distributed.world_size()]
        parts = self._gathered(lambda: self._model.encode_texts(own, kind))
        whole = np.empty((len(texts), max(part.shape[1] for part in parts)), np.float32)
        for share, part in enumerate(parts):
            if len(part):
                whole[share :: len(parts)] = part
        return whole

    def _shared(
        self, items: Sequence[Item], encode: Callable[[Sequence[Item]], Iterator[Any]]
    ) -> Iterator[tuple[list[Item], list[Any]]]:
        """Yields batches of those of `items` whose image is there, with what `encode` makes."""
        missing, expected, images = self.missing, self.expected, self.images
        self.missing = []
        parts = self._gathered(lambda: self._share(items, encode))
        self.missing = missing + [one for _, lost in parts for one in lost]
        rows = sorted((row for found, _ in parts for row in found), key=lambda row: row[0])
        self.expected, self.images = expected + len(items), images + len(rows)
        if not rows:
            name = self.missing[0].name if self.missing else "none is named"
            raise FinehardError(f"none of the benchmark's {len(items):,} images is there ({name})")
        for start in range(0, len(rows), self._model.batch):
            batch = rows[start : start + self._model.batch]
            yield [items[position] for position, _ in batch], [row for _, row in batch]

    def _share(
        self, items: Sequence[Item], encode: Callable[[Sequence[Item]], Iterator[Any]]
    ) -> tuple[Rows, list[Missing]]:
        positions = range(distributed.rank(), len(items), distributed.world_size())
        own = [items[position] for position in positions]
        found: Rows = []
        ahead = iter(positions)
        try:
            for batch, rows in encode(own) if own else ():
                for item, row in zip(batch, rows, strict=True):
                    found.append((next(p for p in ahead if items[p] is item), row))
        except FinehardError:
            if len(self.missing) < len(own):
                raise  # it is not that none of this share's images is there
        return found, self.missing

    def _gathered(self, work: Callable[[], T]) -> list[T]:
        """Returns what `work` returns in each process. Raises what it raises, in the others
        `FinehardError`."""
        value: Any = None
        raised: Exception | None = None
        try:
            value = work()
        except Exception as error:  # the other processes would wait for this one
            raised = error
        line = typed_error_line(raised) if raised else None
        parts = distributed.all_gather_objects((value, line), self._group)
        if raised:
            raise raised
        for process, (_, other) in enumerate(parts):
            if other:
                raise FinehardError(f"process {process}: {other}")
        return [value for value, _ in parts]
