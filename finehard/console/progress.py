"""A build's progress: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

_PLAIN_EVERY_S = 10.0
_MIN_S = 5.0
"""Seconds after the first finished image before the time left is estimated."""


class ProgressDisplay:
    """Shows the counts that `finehard.building.build` reports once a second. A context manager."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._console = Console(file=stream)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._printed_at = time.monotonic()
        self._printed = ""
        self._first: tuple[float, int] | None = None
        self._tokens: tuple[float, int] = (time.monotonic(), 0)
        self._rate = 0.0

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, counts: dict[str, Any]) -> None:
        """Shows `counts`; without a terminal, every ten seconds if they have changed."""
        if self._console.is_terminal:
            self._live.update(self.table(counts))
        elif time.monotonic() - self._printed_at >= _PLAIN_EVERY_S:
            self._printed_at = time.monotonic()
            line = self.line(counts)
            if line != self._printed:
                self._console.print(line, soft_wrap=True, highlight=False)
                self._printed = line

    def line(self, counts: dict[str, Any]) -> str:
        """Returns the progress in one line."""
        done = " ".join(
            f"{name} {stage.get('done', 0)}" for name, stage in counts["stages"].items()
        )
        return f"{self._summary(counts)} | {done}"

    def table(self, counts: dict[str, Any]) -> Table:
        """Returns a table: the summary as its title, a row for each stage."""
        table = Table(title=self._summary(counts), title_justify="left", box=None)
        for column in ("stage", "done", "in flight", "requests", "retries", "from journal"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for name, stage in counts["stages"].items():
            columns = ("in_flight", "requests", "retries", "from_journal")
            done = f"{stage.get('done', 0)}/{counts['images']}"
            table.add_row(name, done, *(str(stage.get(column, "")) for column in columns))
        return table

    def _summary(self, counts: dict[str, Any]) -> str:
        now = time.monotonic()
        in_flight = sum(stage.get("in_flight", 0) for stage in counts["stages"].values())
        return (
            f"{counts['done']}/{counts['images']} images, {counts['rejected']} rejected, "
            f"{in_flight} requests in flight, {self._tokens_per_s(counts, now):.0f} tokens/s, "
            f"{self._time_left(counts, now)} left"
        )

    def _time_left(self, counts: dict[str, Any], now: float) -> str:
        """Returns an estimate from the rate since the first finished image, so without start-up."""
        done = counts["done"] - counts.get("through", 0)
        left = max(0, counts["images"] - counts["done"])
        if done and self._first is None:
            self._first = (now, done)
        if self._first is None or now - self._first[0] < _MIN_S or done == self._first[1]:
            return "0:00:00" if not left else "?"
        rate = (done - self._first[1]) / (now - self._first[0])
        minutes, seconds = divmod(round(left / rate), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"

    def _tokens_per_s(self, counts: dict[str, Any], now: float) -> float:
        tokens = sum(
            stage.get("prompt_tokens", 0) + stage.get("completion_tokens", 0)
            for stage in counts["stages"].values()
        )
        then, before = self._tokens
        if now - then >= 1.0:
            self._rate = max(0, tokens - before) / (now - then)
            self._tokens = (now, tokens)
        return self._rate
