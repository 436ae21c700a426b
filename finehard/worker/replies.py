"""Collects the replies to all questions on one record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from finehard.lmm.question import Answer
from finehard.state.journal import Entry

Reply = Entry | BaseException | None
"""The outcome of a question: its reply or its error; None while it is in flight."""


class Replies:
    """The replies to one record's questions; the future `all` completes with the last of them."""

    def __init__(self, journaled: Sequence[Entry | None]) -> None:
        self.all: Future[list[Reply]] = Future()
        self._replies: list[Reply] = list(journaled)
        self._missing = journaled.count(None)
        self._lock = threading.Lock()

    def callback(
        self, index: int, save: Callable[[Answer], Entry]
    ) -> Callable[[Future[Answer]], None]:
        """Returns a callback that saves the answer to question `index` and records the result."""

        def record(done: Future[Answer]) -> None:
            try:
                reply: Reply = save(done.result())
            except BaseException as error:  # raised where the replies are awaited
                reply = error
            with self._lock:
                self._replies[index] = reply
                self._missing -= 1
                last = not self._missing
            if last:
                self.all.set_result(self._replies)

        return record
