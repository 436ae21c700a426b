"""The replies to the questions on one record, together once the last one is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from finehard.lmm.question import Answer
from finehard.state.journal import Entry

Reply = Entry | BaseException | None
"""What became of a question: an answer, or why there is none; None while it is under way."""


class Replies:
    """The replies to one record's questions; `all` has them once the last one is there."""

    def __init__(self, kept: Sequence[Entry | None]) -> None:
        self.all: Future[list[Reply]] = Future()
        self._replies: list[Reply] = list(kept)
        self._missing = kept.count(None)
        self._lock = threading.Lock()

    def taker(
        self, place: int, keep: Callable[[Answer], Entry]
    ) -> Callable[[Future[Answer]], None]:
        """Takes the reply to question number `place`, as `keep` gives it back."""

        def take(done: Future[Answer]) -> None:
            try:
                reply: Reply = keep(done.result())
            except BaseException as error:  # handed to whoever waits for the replies
                reply = error
            with self._lock:
                self._replies[place] = reply
                self._missing -= 1
                last = not self._missing
            if last:
                self.all.set_result(self._replies)

        return take
