"""Metrics of training steps, reduced over all processes, and throughput."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from finehard.fgclip import distributed
from finehard.fgclip.batch import Batch, Skipped


class Failure(NamedTuple):
    """The first step with values that are not finite: its number, and these values by name."""

    step: int
    values: dict[str, float]


class StepMetrics:
    """Losses and skipped samples of steps, and throughput since it was last read.

    Losses stay on the device until they are read: no step waits for it. `failed` is a float32
    scalar there, 1 from the first step on whose values are not finite: what an optimizer takes as
    `found_inf`, so that it applies neither that step nor a later one.
    """

    def __init__(self, device: torch.device) -> None:
        self.failed = torch.zeros((), device=device)
        self._losses: dict[str, Tensor] = {}
        self._names: list[str] = []
        self._unread: list[tuple[int, Tensor]] = []
        self._skipped: list[Skipped] = []
        self._images = self._tokens = 0
        self._since = time.perf_counter()
        self._wait = self._flops = 0.0
        self._total_images = self._total_tokens = 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time spent inside as waiting for data."""
        start = time.perf_counter()
        yield
        self._wait += time.perf_counter() - start

    def add(self, batch: Batch, losses: dict[str, Tensor], parts: int, flops: float = 0.0) -> None:
        """Adds one of a step's `parts`: its batch, its losses, and its FLOPs where they count."""
        for name, value in losses.items():
            value = value.detach() / parts
            self._losses[name] = self._losses[name] + value if name in self._losses else value
        self._skipped.extend(batch.skipped)
        self._images += len(batch.keys)
        self._tokens += batch.tokens
        self._flops += flops

    def end(self, step: int, norm: Tensor, stop: bool) -> tuple[list[Skipped], bool]:
        """Ends `step`, whose gradient has `norm`. Returns the samples skipped, and whether any
        process has `stop`; all equal in every process."""
        self._names = [*self._losses, "grad_norm"]
        losses = distributed.all_sum(torch.stack(list(self._losses.values())).double())
        values = torch.cat([losses / distributed.world_size(), norm.detach().double()[None]])
        self._unread.append((step, values))
        torch.maximum(self.failed, (~values.isfinite().all()).float(), out=self.failed)
        counts = [float(x) for x in (len(self._skipped), stop, self._images, self._tokens)]
        skip_count, stops, images, tokens = _sums(counts)
        self._total_images += images
        self._total_tokens += tokens
        skipped = self._skipped
        if skip_count:
            lists = distributed.all_gather_objects(skipped, distributed.everyone())
            skipped = [s for each in lists for s in each]
        self._losses, self._skipped, self._images, self._tokens = {}, [], 0, 0
        return skipped, stops > 0

    def read(self) -> tuple[dict[str, float], Failure | None]:
        """Returns losses and gradient norm of the last step, and the first failure since the last
        call, if any. Waits for the device."""
        rows = torch.stack([values for _, values in self._unread]).tolist()
        steps = [step for step, _ in self._unread]
        self._unread = []
        named = [dict(zip(self._names, row, strict=True)) for row in rows]
        for step, values in zip(steps, named, strict=True):
            bad = {name: value for name, value in values.items() if not math.isfinite(value)}
            if bad:
                return named[-1], Failure(step, bad)
        return named[-1], None

    def throughput(self) -> dict[str, float]:
        """Returns images/s and tokens/s of all processes, the share of time spent waiting for
        data, and this process's FLOPs/s, since the last call or `restart`."""
        seconds = time.perf_counter() - self._since
        rates = {
            "images_per_s": self._total_images / seconds,
            "tokens_per_s": self._total_tokens / seconds,
            "data_wait": self._wait / seconds,
            "flops_per_s": self._flops / seconds,
        }
        self.restart()
        return rates

    def restart(self) -> None:
        """Restarts the measurement of throughput."""
        self._since, self._wait = time.perf_counter(), 0.0
        self._total_images = self._total_tokens = self._flops = 0.0


def _sums(values: list[float]) -> list[float]:
    if distributed.world_size() == 1:
        return values
    sums: list[float] = distributed.all_sum(torch.tensor(values, dtype=torch.float64)).tolist()
    return sums
