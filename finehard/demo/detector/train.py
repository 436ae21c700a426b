"""Trains the demo detector from scratch.

Patches near an object's centre learn to predict its box and which phrases are true of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finehard.demo.detector.batches import draw_batch
from finehard.demo.detector.losses import PatchHeads, losses
from finehard.demo.detector.model import build_model, save
from finehard.demo.pictures import training_pictures


@dataclass(frozen=True)
class DetectorTrainConfig:
    """Training data and schedule of the demo detector."""

    pictures: str = "build/demo-models/pictures"
    scenes: int = 12000
    steps: int = 6000
    scenes_per_step: int = 8
    phrases_per_step: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    threads: int = 2
    save_every: int = 200


def train_detector(folder: str | Path, config: DetectorTrainConfig) -> None:
    """Writes the trained model to `folder`; prints the mean losses every 50 steps."""
    torch.set_num_threads(config.threads)
    model, tokenizer = build_model(config.seed)
    model.train()
    rng = np.random.default_rng(config.seed)
    pictures = training_pictures(config.pictures, config.scenes, config.threads)
    heads = PatchHeads(model.config.vision_config.hidden_size)
    matrices: list[Tensor] = []
    others: list[Tensor] = list(heads.parameters())
    for name, value in model.named_parameters():
        hidden = value.ndim == 2 and "encoder.layers" in name
        (matrices if hidden else others).append(value)
    rate = config.learning_rate
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=3 * rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.01, betas=(0.9, 0.97)),
    ]
    start = time.monotonic()
    history: dict[str, list[float]] = {}
    for step in range(config.steps):
        scale = min(1.0, (step + 1) / 50) * min(1.0, 0.02 + (1 - step / config.steps) / 0.5)
        for optimizer, factor in zip(optimizers, (3, 1), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = factor * rate * scale
        parts = losses(
            model,
            heads,
            tokenizer,
            draw_batch(pictures, config.scenes_per_step, rng),
            config.phrases_per_step,
            rng,
        )
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, loss in parts.items():
            history.setdefault(name, []).append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            line = " ".join(f"{n} {np.mean(v):.4f}" for n, v in history.items())
            seconds = time.monotonic() - start
            print(f"detector {step + 1}/{config.steps} {seconds:.0f}s {line}", flush=True)
            history = {}
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            save(model, tokenizer, folder)
