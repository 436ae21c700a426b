"""What a long command shows while it runs: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live

_MIN_S = 5.0
"""Seconds after the first finished item before the time left is estimated."""


class Display:
    """A live text at the foot of a terminal; without one, a line every `every_s` seconds.

    A context manager. It writes to `stream`, by default standard error.
    """

    def __init__(self, stream: TextIO | None = None, every_s: float = 10.0) -> None:
        self._console = Console(file=stream, stderr=stream is None)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._every_s = every_s
        self._printed_at, self._printed = time.monotonic(), ""

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, live: Callable[[], RenderableType], line: Callable[[], str]) -> None:
        """Shows what `live` returns; without a terminal what `line` returns, if it has changed."""
        if self._console.is_terminal:
            self._live.update(live())
        elif time.monotonic() - self._printed_at >= self._every_s:
            self._printed_at = time.monotonic()
            if (text := line()) != self._printed:
                self.print(text)
                self._printed = text

    def print(self, text: str) -> None:
        """Prints lines that stay, above what is live."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False, emoji=False)


class TimeLeft:
    """An estimate from the rate since the first finished item, so without start-up."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def estimate(self, done: int, left: int) -> str:
        """Returns hours, minutes and seconds for `left` items, `done` being finished; or "?"."""
        now = time.monotonic()
        if self._first is not None and done < self._first[1]:
            self._first = None  # begun anew: one that joined others now writes the shards
        if done and self._first is None:
            self._first = (now, done)
        if self._first is None or now - self._first[0] < _MIN_S or done == self._first[1]:
            return "0:00:00" if not left else "?"
        rate = (done - self._first[1]) / (now - self._first[0])
        minutes, seconds = divmod(round(left / rate), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
