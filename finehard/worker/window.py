"""A sliding window of work in flight: results are taken as they finish, in any order."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any


class Window:
    """At most `size` futures in flight."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._in_flight = 0
        self._finished: queue.SimpleQueue[tuple[Any, Future[Any]]] = queue.SimpleQueue()

    def add(self, item: Any, future: Future[Any]) -> None:
        """Adds `future`, the work on `item`; `finished` must be drained before the next."""
        self._in_flight += 1
        future.add_done_callback(lambda done: self._finished.put((item, done)))

    def finished(self) -> Iterator[tuple[Any, Future[Any]]]:
        """Yields items that have finished, with their futures; waits while the window is full."""
        while self._in_flight and (self._in_flight >= self.size or not self._finished.empty()):
            yield self._take()

    def drained(self) -> Iterator[tuple[Any, Future[Any]]]:
        """Yields all items in flight as they finish."""
        while self._in_flight:
            yield self._take()

    def _take(self) -> tuple[Any, Future[Any]]:
        finished = self._finished.get()
        self._in_flight -= 1
        return finished
