"""A build's progress: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any, TextIO

from rich.table import Table

from finehard.console.display import Display, TimeLeft


class ProgressDisplay:
    """Shows the counts that `finehard.building.build` reports once a second. A context manager."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._display = Display(stream)
        self._left = TimeLeft()
        self._tokens: tuple[float, int] = (time.monotonic(), 0)
        self._rate = 0.0

    def __enter__(self) -> ProgressDisplay:
        self._display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__()

    def __call__(self, counts: dict[str, Any]) -> None:
        """Shows `counts`; without a terminal, every ten seconds if they have changed."""
        self._display.show(lambda: self.table(counts), lambda: self.line(counts))

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
        in_flight = sum(stage.get("in_flight", 0) for stage in counts["stages"].values())
        return (
            f"{counts['done']}/{counts['images']} images, {counts['rejected']} rejected, "
            f"{in_flight} requests in flight, {self._tokens_per_s(counts):.0f} tokens/s, "
            f"{self._time_left(counts)} left"
        )

    def _time_left(self, counts: dict[str, Any]) -> str:
        done = counts["done"] - counts.get("through", 0)
        return self._left.estimate(done, max(0, counts["images"] - counts["done"]))

    def _tokens_per_s(self, counts: dict[str, Any]) -> float:
        now = time.monotonic()
        tokens = sum(
            stage.get("prompt_tokens", 0) + stage.get("completion_tokens", 0)
            for stage in counts["stages"].values()
        )
        then, before = self._tokens
        if now - then >= 1.0:
            self._rate = max(0, tokens - before) / (now - then)
            self._tokens = (now, tokens)
        return self._rate
