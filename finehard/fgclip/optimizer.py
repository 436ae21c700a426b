"""What moves the weights: AdamW, and the learning rate of each step."""

from __future__ import annotations

import math

import torch

from finehard.fgclip.config import OptimizerConfig
from finehard.fgclip.model import FGCLIP


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Of step `step`, from 0: linear warmup, then half a cosine down to 0 after `steps`."""
    warmup = min(config.warmup_steps, steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizer(
    model: FGCLIP, config: OptimizerConfig, device: torch.device
) -> torch.optim.AdamW:
    """AdamW; biases, norms, scales and the class token (what has one dimension) do not decay.

    The biases of attention keys stay as they are: a softmax takes no notice of them, so their
    gradients are rounding errors, which Adam would blow up to whole steps.
    """
    moved = [p for name, p in model.named_parameters() if not name.endswith("k_proj.bias")]
    decayed = [p for p in moved if p.ndim > 1]
    others = [p for p in moved if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
