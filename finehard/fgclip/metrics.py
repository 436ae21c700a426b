"""Metrics of training steps, reduced over all processes, and throughput."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from finehard.fgclip import distributed
from finehard.fgclip.batch import Batch, Skipped


class StepMetrics:
    """Losses and skipped samples of one step, and throughput since it was last read."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._losses: dict[str, torch.Tensor] = {}
        self._skipped: list[Skipped] = []
        self._images = self._tokens = 0
        self._since = time.perf_counter()
        self._wait = 0.0
        self._total_images = self._total_tokens = 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time spent inside as waiting for data."""
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

    def reduce(self, norm: float, stop: bool) -> tuple[dict[str, float], list[Skipped], bool]:
        """Ends a step. Returns losses and gradient norm, the samples skipped, and whether any
        process has `stop`; all equal in every process."""
        names = list(self._losses)
        counts = [float(x) for x in (len(self._skipped), stop, self._images, self._tokens)]
        sums = distributed.all_sum(
            torch.cat(
                [
                    torch.stack([self._losses[n] for n in names]).double(),
                    torch.tensor(counts, dtype=torch.float64, device=self._device),
                ]
            )
        ).tolist()
        values = {n: v / distributed.world_size() for n, v in zip(names, sums, strict=False)}
        skip_count, stops, images, tokens = sums[len(names) :]
        self._total_images += images
        self._total_tokens += tokens
        skipped = self._skipped
        if skip_count and distributed.world_size() > 1:
            lists: list[Any] = [None] * distributed.world_size()
            dist.all_gather_object(lists, skipped)
            skipped = [s for each in lists for s in each]
        self._losses, self._skipped, self._images, self._tokens = {}, [], 0, 0
        return {**values, "grad_norm": norm}, skipped, stops > 0

    def throughput(self) -> dict[str, float]:
        """Returns images/s and tokens/s of all processes and the share of time spent waiting for
        data, since the last call or `restart`."""
        seconds = time.perf_counter() - self._since
        rates = {
            "images_per_s": self._total_images / seconds,
            "tokens_per_s": self._total_tokens / seconds,
            "data_wait": self._wait / seconds,
        }
        self.restart()
        return rates

    def restart(self) -> None:
        """Restarts the measurement of throughput."""
        self._since, self._wait = time.perf_counter(), 0.0
        self._total_images = self._total_tokens = 0.0
