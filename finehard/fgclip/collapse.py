"""Notices a run that learns nothing: its loss stays at that of guessing."""

from __future__ import annotations

import math
from collections.abc import Mapping

_LOGS, _NEAR = 10, 0.01
"""Logs in a row, and how near to the logarithm, in parts of it, the loss is."""


class CollapseWatch:
    """Watches InfoNCE's losses of captions in steps of `images`, after `warmup` steps.

    Where all features are alike, they are ln(`images`).
    """

    def __init__(self, images: int, warmup: int) -> None:
        self._guessing, self._warmup = math.log(images), warmup
        self._images, self._logs, self._warned = images, 0, False

    def warning(self, step: int, values: Mapping[str, float]) -> str:
        """Returns a warning of one line where the losses logged after `step` are the last of ten in
        a row at ln(`images`), once; else ""."""
        losses = [values[name] for name in ("long", "short") if name in values]
        stuck = [abs(loss - self._guessing) < _NEAR * self._guessing for loss in losses]
        self._logs = self._logs + 1 if losses and all(stuck) and step > self._warmup else 0
        if self._logs < _LOGS or self._warned:
            return ""
        self._warned = True
        return (
            f"step {step}: the loss of captions has stayed at ln({self._images}) = "
            f"{self._guessing:.2f} for {_LOGS} logs: the model tells no image from another; try a "
            "lower optimizer.lr or more optimizer.warmup_steps, and see whether the captions "
            "belong to their images"
        )
