"""AdamW and the learning-rate schedule."""

from __future__ import annotations

import math

import torch

from finehard.fgclip.config import OptimizerConfig
from finehard.fgclip.model import FGCLIP


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Returns the learning rate of step `step`, from 0: linear warmup, then cosine decay to 0."""
    warmup = min(config.warmup_steps, steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizer(
    model: FGCLIP, config: OptimizerConfig, device: torch.device
) -> torch.optim.AdamW:
    """Returns AdamW, with weight decay for parameters of two or more dimensions only.

    The biases of attention keys are not trained: softmax is invariant to them, so their gradients
    are rounding errors, which Adam would scale up to full steps.
    """
    trained = [p for name, p in model.named_parameters() if not name.endswith("k_proj.bias")]
    decayed = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
