"""What a step came to, over all processes, and how fast steps are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from finehard.fgclip import ranks
from finehard.fgclip.batch import Batch, Skipped


class Meter:
    """What a step came to, over all processes, and how fast the steps since the last reading of
    `speed` were."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._losses: dict[str, torch.Tensor] = {}
        self._skipped: list[Skipped] = []
        self._images = self._tokens = 0
        self._since = time.perf_counter()
        self._wait = 0.0
        self._done = [0.0, 0.0]

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside counts as waited for data."""
        start = time.perf_counter()
        yield
        self._wait += time.perf_counter() - start

    def add(self, batch: Batch, losses: dict[str, torch.Tensor], parts: int) -> None:
        """Adds one of a step's `parts`: its batch and its losses."""
        for name, value in losses.items():
            value = value.detach() / parts
            self._losses[name] = self._losses[name] + value if name in self._losses else value
        self._skipped.extend(batch.skipped)
        self._images += len(batch.keys)
        self._tokens += batch.tokens

    def read(self, norm: float, stop: bool) -> tuple[dict[str, float], list[Skipped], bool]:
        """Losses and gradient norm, what was skipped, whether to stop; the same everywhere."""
        names = list(self._losses)
        counts = [float(x) for x in (len(self._skipped), stop, self._images, self._tokens)]
        sums = ranks.total(
            torch.cat(
                [
                    torch.stack([self._losses[n] for n in names]).double(),
                    torch.tensor(counts, dtype=torch.float64, device=self._device),
                ]
            )
        ).tolist()
        values = {n: v / ranks.world() for n, v in zip(names, sums, strict=False)}
        skipped, stops, images, tokens = sums[len(names) :]
        self._done = [self._done[0] + images, self._done[1] + tokens]
        found = self._skipped
        if skipped and ranks.world() > 1:
            lists: list[Any] = [None] * ranks.world()
            dist.all_gather_object(lists, found)
            found = [s for each in lists for s in each]
        self._losses, self._skipped, self._images, self._tokens = {}, [], 0, 0
        return {**values, "grad_norm": norm}, found, stops > 0

    def speed(self) -> dict[str, float]:
        """images/s and tokens/s of all processes, and the part of the time waited for data."""
        seconds = time.perf_counter() - self._since
        found = {
            "images_per_s": self._done[0] / seconds,
            "tokens_per_s": self._done[1] / seconds,
            "data_wait": self._wait / seconds,
        }
        self.restart()
        return found

    def restart(self) -> None:
        """Begins a new reading of the speed."""
        self._since, self._wait, self._done = time.perf_counter(), 0.0, [0.0, 0.0]
