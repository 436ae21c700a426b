"""What a build is doing, while it does it: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

STAGES = ("caption", "phrases", "detect", "regions", "negatives", "verify")
_PLAIN_EVERY_S = 10.0


class Progress:
    """Shows `poll()` (see `finehard.worker.status.total`) until closed. A context manager."""

    def __init__(
        self, poll: Callable[[], dict[str, Any]], total: int, stream: TextIO = sys.stderr
    ) -> None:
        self._poll = poll
        self._total = total
        self._console = Console(file=stream)
        self._started = time.monotonic()
        self._before: tuple[float, int] = (self._started, 0)
        self._rate = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="finehard-progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        if self._console.is_terminal:
            with Live(console=self._console, refresh_per_second=4, transient=True) as live:
                while not self._stop.wait(1.0):
                    live.update(self._table(self._poll()))
        else:
            while not self._stop.wait(_PLAIN_EVERY_S):
                self._console.print(self.line(self._poll()), soft_wrap=True, highlight=False)

    def line(self, counts: dict[str, Any]) -> str:
        """Everything in one line."""
        stages = counts["stages"]
        done = " ".join(f"{s} {stages[s].get('done', 0)}" for s in STAGES if s in stages)
        return f"{self._overall(counts)} | {done}"

    def _overall(self, counts: dict[str, Any]) -> str:
        done = counts["done"]
        in_flight = sum(s.get("in_flight", 0) for s in counts["stages"].values())
        now = time.monotonic()
        left = "?"
        if done:
            seconds = (now - self._started) / done * max(0, self._total - done)
            left = f"{seconds // 3600:.0f}:{seconds // 60 % 60:02.0f}:{seconds % 60:02.0f}"
        return (
            f"{done}/{self._total} images, {counts['rejected']} rejected, {in_flight} requests in "
            f"flight, {self._tokens_per_s(counts, now):.0f} tokens/s, {left} left"
        )

    def _tokens_per_s(self, counts: dict[str, Any], now: float) -> float:
        tokens = sum(
            s.get("prompt_tokens", 0) + s.get("completion_tokens", 0)
            for s in counts["stages"].values()
        )
        then, before = self._before
        if now - then >= 1.0:
            self._rate = max(0, tokens - before) / (now - then)
            self._before = (now, tokens)
        return self._rate

    def _table(self, counts: dict[str, Any]) -> Table:
        table = Table(title=self._overall(counts), title_justify="left", box=None)
        for column in ("stage", "done", "in flight", "requests", "retries", "from journal"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for stage in STAGES:
            values = counts["stages"].get(stage, {})
            names = ("in_flight", "requests", "retries", "from_journal")
            done = f"{values.get('done', 0)}/{self._total}"
            table.add_row(stage, done, *(str(values.get(name, "")) for name in names))
        return table
