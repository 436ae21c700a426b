"""The optimisation loop of pretraining and fine-tuning: Muon and AdamW, with averaged weights."""

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
class LearningRates:
    """Peak learning rates, reached after 40 steps; they decay after three tenths of all steps."""

    muon: float = 5e-3
    """For the hidden matrices."""
    adamw: float = 2e-3
    """For all other parameters."""

    def scaled(self, factor: float) -> LearningRates:
        """Returns both rates times `factor`."""
        return LearningRates(self.muon * factor, self.adamw * factor)


def optimize(
    name: str,
    module: nn.Module,
    losses: Callable[[Any], dict[str, Tensor]],
    batches: Iterable[Any],
    steps: int,
    rates: LearningRates,
) -> Iterator[tuple[int, nn.Module]]:
    """Trains the parameters of `module` that require gradients on the sum of `losses(batch)`.

    Yields, after each step, its number and a copy of the module with averaged weights. Prints the
    mean losses every 50 steps, in a line that begins with `name`.
    """
    mean = AveragedModel(module, multi_avg_fn=_average)  # type: ignore[arg-type]
    optimizers = _optimizers(module, rates)
    start = time.monotonic()
    history: dict[str, list[float]] = {}
    for step, batch in enumerate(itertools.islice(batches, steps), 1):
        parts = losses(batch)
        torch.stack(list(parts.values())).sum().backward()
        scale = min(1.0, step / 40, 0.02 + (1 - step / steps) / 0.7)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], 1.0)
                group["lr"] = scale * group.setdefault("peak_rate", group["lr"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        mean.update_parameters(module)
        for part, loss in parts.items():
            history.setdefault(part, []).append(loss.item())
        if step % 50 == 0:
            line = "  ".join(f"{k} {np.mean(v):.3f}" for k, v in sorted(history.items()))
            print(f"{name} {step}/{steps} {time.monotonic() - start:.0f} s  {line}", flush=True)
            history = {}
        yield step, mean.module


def _average(means: list[Tensor], weights: list[Tensor], updates: Tensor | int) -> None:
    decay = min(0.99, int(updates) / (int(updates) + 10))
    torch._foreach_lerp_(means, weights, 1 - decay)


def _optimizers(module: nn.Module, rates: LearningRates) -> list[torch.optim.Optimizer]:
    """Returns Muon for the hidden matrices, AdamW for embeddings, heads, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, value in module.named_parameters():
        if value.requires_grad:
            hidden = value.ndim == 2 and not any(s in name for s in ("embed", "head."))
            (matrices if hidden else others).append(value)
    return [
        torch.optim.Muon(
            matrices, lr=rates.muon, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=rates.adamw, weight_decay=0.01, betas=(0.9, 0.97)),
    ]
