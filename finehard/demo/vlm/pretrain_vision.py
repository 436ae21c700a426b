"""Pretrains the vision tower: each image token is classified by the object at its centre."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from finehard.demo.vlm.model import HIDDEN, image_tokens
from finehard.demo.vlm.optim import LearningRates, optimize
from finehard.demo.vlm.patches import (
    IMAGE_LABELS,
    TOKEN_LABELS,
    Patches,
    Targets,
    make_patches,
    make_targets,
)
from finehard.demo.vlm.views import crop_view, full_view

SCENES_PER_BATCH, CROPS_PER_BATCH = 16, 96


class VisionPretrainModel(nn.Module):
    """The vision tower with linear classifiers of its tokens, used in training only."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.dense_head = nn.Linear(HIDDEN, sum(n + 1 for n in TOKEN_LABELS.values()))
        self.whole_head = nn.Linear(HIDDEN, sum(IMAGE_LABELS.values()))

    def losses(self, batch: tuple[Patches, Targets]) -> dict[str, Tensor]:
        """Returns the loss of each label that the batch has targets for."""
        (patches, positions, grid), targets = batch
        with torch.autocast("cpu", torch.bfloat16):
            tokens = image_tokens(self.visual, patches, positions, grid).float()
            token_logits = self.dense_head(tokens)
            means = torch.stack([p.mean(0) for p in tokens.split((grid.prod(-1) // 4).tolist())])
            image_logits = self.whole_head(means)
        losses: dict[str, Tensor] = {}
        parts = token_logits.split([n + 1 for n in TOKEN_LABELS.values()], -1)
        for name, logits, target in zip(TOKEN_LABELS, parts, targets.tokens.unbind(1), strict=True):
            if (target >= 0).any():
                weight = torch.ones(logits.shape[-1])
                weight[-1] = 0.3  # most tokens show no object
                losses[name] = functional.cross_entropy(logits.float(), target, weight=weight)
        parts = image_logits.split(list(IMAGE_LABELS.values()), -1)
        for name, logits, target in zip(IMAGE_LABELS, parts, targets.images.unbind(1), strict=True):
            if (target >= 0).any():
                losses[name] = 0.5 * functional.cross_entropy(logits.float(), target)
        kind = "scene" if "count" in losses else "crop"
        return {f"{kind} {name}": loss for name, loss in losses.items()}


class PretrainBatches(torch.utils.data.IterableDataset[tuple[Patches, Targets]]):
    """Endless batches: of full images with probability `full_share`, else of crops."""

    def __init__(self, pictures: Any, full_share: float, seed: int) -> None:
        self.pictures, self.full_share, self.seed = pictures, full_share, seed

    def __iter__(self) -> Iterator[tuple[Patches, Targets]]:
        rng = np.random.default_rng(self.seed)
        while True:
            full = bool(rng.random() < self.full_share)
            views, scenes = [], []
            for _ in range(SCENES_PER_BATCH if full else CROPS_PER_BATCH):
                pixels, scene = self.pictures[rng.integers(len(self.pictures))]
                picture = Image.fromarray(pixels)
                if full:
                    views.append(full_view(picture, scene, rng))
                else:
                    thing = scene.things[rng.integers(len(scene.things))]
                    views.append(crop_view(picture, scene, thing, rng))
                scenes.append(scene)
            patches = make_patches([view.image for view in views])
            yield patches, make_targets(views, scenes, full, patches.grid)


def pretrain_vision(
    module: VisionPretrainModel,
    pictures: Any,
    full_share: float,
    steps: int,
    rates: LearningRates,
    seed: int,
) -> None:
    """Trains `module` in place; at the end it has the averaged weights."""
    data = PretrainBatches(pictures, full_share, seed)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    *_, (_, mean) = optimize("pretrain", module.train(), module.losses, loader, steps, rates)
    module.load_state_dict(mean.state_dict())
