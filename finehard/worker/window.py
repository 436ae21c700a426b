"""A sliding window of work under way: results are taken as they finish, in any order."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any


class Window:
    """At most `size` futures under way; adding to a full window waits for one to finish."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._under_way = 0
        self._finished: queue.SimpleQueue[tuple[Any, Future[Any]]] = queue.SimpleQueue()

    def add(self, item: Any, future: Future[Any]) -> None:
        """Puts `future` under way for `item`."""
        self._under_way += 1
        future.add_done_callback(lambda done: self._finished.put((item, done)))

    def finished(self) -> Iterator[tuple[Any, Future[Any]]]:
        """What has finished by now; where the window is full, waits until it is not."""
        while self._under_way and (self._under_way >= self.size or not self._finished.empty()):
            yield self._take()

    def drained(self) -> Iterator[tuple[Any, Future[Any]]]:
        """All that is under way, as it finishes."""
        while self._under_way:
            yield self._take()

    def _take(self) -> tuple[Any, Future[Any]]:
        taken = self._finished.get()
        self._under_way -= 1
        return taken
