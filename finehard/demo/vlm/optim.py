"""Gradient descent as both parts of the training use it: Muon and AdamW, and a running mean."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


@dataclass(frozen=True)
class Rates:
    """Peak learning rates. They rise over 40 steps, and fall after three tenths of all steps."""

    matrices: float = 5e-3
    """For the hidden matrices, which Muon trains."""
    others: float = 2e-3

    def times(self, factor: float) -> Rates:
        """Both, by `factor`."""
        return Rates(self.matrices * factor, self.others * factor)


def descend(
    name: str,
    module: nn.Module,
    losses: Callable[[Any], dict[str, Tensor]],
    batches: Iterable[Any],
    steps: int,
    rates: Rates,
) -> Iterator[tuple[int, nn.Module]]:
    """Trains `module`'s parameters that ask for gradients, on the sum of `losses(batch)`.

    Gives after each step its number and the weights' running mean.
    """
    mean = AveragedModel(module, multi_avg_fn=_running_mean)  # type: ignore[arg-type]
    optimizers = _optimizers(module, rates)
    began = time.monotonic()
    shown: dict[str, list[float]] = {}
    for done, batch in enumerate(itertools.islice(batches, steps), 1):
        parts = losses(batch)
        torch.stack(list(parts.values())).sum().backward()
        scale = min(1.0, done / 40, 0.02 + (1 - done / steps) / 0.7)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], 1.0)
                group["lr"] = scale * group.setdefault("full_rate", group["lr"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        mean.update_parameters(module)
        for part, loss in parts.items():
            shown.setdefault(part, []).append(loss.item())
        if done % 50 == 0:
            line = "  ".join(f"{k} {np.mean(v):.3f}" for k, v in sorted(shown.items()))
            print(f"{name} {done}/{steps} {time.monotonic() - began:.0f} s  {line}", flush=True)
            shown = {}
        yield done, mean.module


def _running_mean(means: list[Tensor], now: list[Tensor], seen: Tensor | int) -> None:
    keep = min(0.99, int(seen) / (int(seen) + 10))
    torch._foreach_lerp_(means, now, 1 - keep)


def _optimizers(module: nn.Module, rates: Rates) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, heads, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, value in module.named_parameters():
        if value.requires_grad:
            hidden = value.ndim == 2 and not any(s in name for s in ("embed", "head."))
            (matrices if hidden else others).append(value)
    return [
        torch.optim.Muon(
            matrices, lr=rates.matrices, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=rates.others, weight_decay=0.01, betas=(0.9, 0.97)),
    ]
