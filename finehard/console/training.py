"""A training run's progress: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from rich.text import Text

from finehard.console.display import Display, TimeLeft


class TrainingProgress:
    """Shows steps, loss, speed and time left of a run of `steps` steps that has done `step`. A
    context manager."""

    def __init__(self, step: int, steps: int, stream: TextIO | None = None) -> None:
        self._display = Display(stream, every_s=30.0)
        self._begun = self._step = step
        self._steps, self._values = steps, ""
        self._left = TimeLeft()

    def __enter__(self) -> TrainingProgress:
        self._display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__()

    def log(self, values: Mapping[str, float]) -> None:
        """Shows the loss and images/s of `values` from now on."""
        self._values = f", loss {values['loss']:.4f}, {values['images_per_s']:.4g} images/s"

    def advance(self) -> None:
        """Counts a step."""
        self._step += 1
        line = self.line()
        self._display.show(lambda: Text(line), lambda: line)

    def line(self) -> str:
        """Returns the progress in one line."""
        left = self._left.estimate(self._step - self._begun, self._steps - self._step)
        return f"step {self._step}/{self._steps}{self._values}, {left} left"

    def print(self, text: str) -> None:
        """Prints lines that stay."""
        self._display.print(text)
