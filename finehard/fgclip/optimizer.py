"""AdamW and the learning-rate schedule."""

from __future__ import annotations

import math

import torch

from finehard.fgclip.config import OptimizerConfig
from finehard.fgclip.model import Network


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Returns the learning rate of step `step`, from 0: linear warmup, then as `schedule` says."""
    share = config.warmup_share
    warmup = min(math.ceil(share * steps) if share else config.warmup_steps, steps)
    if step < warmup:
        return config.lr * (step + (not config.warmup_from_zero)) / warmup
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizer(
    model: Network, config: OptimizerConfig, device: torch.device
) -> torch.optim.AdamW:
    """Returns AdamW, with weight decay for parameters of two or more dimensions, and with
    `decay_scales` for all but biases and norms.

    The biases of attention keys are not trained: softmax is invariant to them, so their gradients
    are rounding errors, which Adam would scale up to full steps.
    """
    trained = [
        (name, p) for name, p in model.named_parameters() if not name.endswith("k_proj.bias")
    ]
    decayed = [p for n, p in trained if p.ndim > 1 or (config.decay_scales and _is_scale(n))]
    others = [p for n, p in trained if not (p.ndim > 1 or (config.decay_scales and _is_scale(n)))]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def _is_scale(name: str) -> bool:
    return "norm" not in name and "bias" not in name
