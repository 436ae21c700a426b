"""Maps a function over processes, in order; in this process where one is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from finehard.io import storage

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Maps a function over items, in order, as `map` does."""


class Processes:
    """`with Processes(workers) as each` gives `map`; what it maps has to be picklable. The
    processes have the stores' options of this one."""

    def __init__(self, workers: int) -> None:
        self._pool = None
        if workers > 1:
            given = storage.configured()
            self._pool = ProcessPoolExecutor(
                workers,
                get_context("spawn"),
                initializer=partial(storage.configure, given) if given else None,
            )

    def __enter__(self) -> Each:
        return self._pool.map if self._pool else map

    def __exit__(self, *error: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
