"""The progress of benchmarks: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY_S = 10.0


class BenchmarkProgress:
    """Shows how many images of each benchmark are encoded. A context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), console=self._console, transient=True,
        )  # fmt: skip
        self._printed_at = time.monotonic()

    def __enter__(self) -> BenchmarkProgress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def start(self, name: str) -> OneProgress:
        """Returns the progress of the benchmark `name`."""
        return OneProgress(self, name)

    def show(self, one: OneProgress, done: int, of: int) -> None:
        """Shows that `done` of `of` images are encoded."""
        if self._console.is_terminal:
            if one.task is None:
                one.task = self._bar.add_task(one.name)
            self._bar.update(one.task, completed=done, total=of, visible=done < of)
        elif time.monotonic() - self._printed_at >= _PLAIN_EVERY_S:
            self._printed_at = time.monotonic()
            self.line(f"{one.name}: {done:,}/{of:,} images")

    def line(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


class OneProgress:
    """The progress of one benchmark."""

    def __init__(self, display: BenchmarkProgress, name: str) -> None:
        self.name = name
        self.task: TaskID | None = None  # the row of the bar
        self._display = display

    def __call__(self, done: int, of: int) -> None:
        """Shows that `done` of `of` images are encoded."""
        self._display.show(self, done, of)
