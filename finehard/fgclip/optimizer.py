"""AdamW, the learning-rate schedule, and which parameters are trained, and how fast."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from finehard.fgclip.config import OptimizerConfig
from finehard.fgclip.model import Network

_HEADS = {
    "vision": ("visual_projection.", "dense_feature_head.", "vision_model.head."),
    "text": (
        "text_projection.", "text_filip_projection.", "longtext_head.", "boxtext_head.",
        "text_model.head.",
    ),
}  # fmt: skip
"""What makes features of a tower's states, of FG-CLIP and FG-CLIP 2."""


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Returns the learning rate of step `step`, from 0: linear warmup, then as `schedule` says."""
    warmup = warmup_steps(steps, config)
    if step < warmup:
        return config.lr * (step + (not config.warmup_from_zero)) / warmup
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def warmup_steps(steps: int, config: OptimizerConfig) -> int:
    """Returns the number of steps of warmup, of `steps`."""
    share = config.warmup_share
    return min(math.ceil(share * steps) if share else config.warmup_steps, steps)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Sets the learning rate of each group: `rate` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def freeze(model: Network, tower: Literal["none", "vision", "text"]) -> None:
    """Excludes `tower` and its heads from training: no gradients, so no decay and no step."""
    if tower != "none":
        for name, parameter in model.named_parameters():
            if name.startswith((f"{tower}_model.", *_HEADS[tower])):
                parameter.requires_grad_(False)


def make_optimizer(model: Network, config: OptimizerConfig) -> torch.optim.AdamW:
    """Returns AdamW, with weight decay for parameters of two or more dimensions, and with
    `decay_scales` for all but biases and norms. Parameters without gradients are left out.

    The biases of attention keys are not trained: softmax is invariant to them, so their gradients
    are rounding errors, which Adam would scale up to full steps.
    """
    groups: dict[tuple[float, bool], list[Tensor]] = {(1.0, True): [], (1.0, False): []}
    for name, parameter in model.named_parameters():
        if name.endswith("k_proj.bias") or not parameter.requires_grad:
            continue
        decayed = parameter.ndim > 1 or (config.decay_scales and _is_scale(name))
        groups.setdefault((_factor(name, config), decayed), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decayed else 0.0,
                **({} if factor == 1 else {"factor": factor}),
            }
            for (factor, decayed), parameters in groups.items()
        ],
        lr=config.lr, betas=config.betas, eps=config.eps, fused=True,
    )  # fmt: skip


def _factor(name: str, config: OptimizerConfig) -> float:
    if any(name.startswith(heads) for heads in _HEADS.values()):
        return config.lr_heads
    if name.startswith("vision_model."):
        return config.lr_vision
    return config.lr_text if name.startswith("text_model.") else config.lr_heads


def _is_scale(name: str) -> bool:
    return "norm" not in name and "bias" not in name


@torch.no_grad()
def limit_scales(model: Network, most: float) -> None:
    """Keeps the learned scales at most at `most`, as CLIP does at 100 (arXiv 2103.00020, sec. 2.5);
    0: does nothing."""
    if most:
        for scale in (model.logit_scale, model.logit_scale_finegraind, model.logit_scale_hardneg):
            scale.clamp_(max=math.log(most))
