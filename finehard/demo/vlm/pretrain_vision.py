"""The vision tower learns to name what stands at each image token, before a word is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from finehard.demo.vlm.model import HIDDEN, image_tokens
from finehard.demo.vlm.optim import Rates, descend
from finehard.demo.vlm.patches import DENSE, GLOBAL, Patches, Targets, patches_of, targets_of
from finehard.demo.vlm.views import cut, whole

SCENES_A_BATCH, CUTS_A_BATCH = 16, 96


class Looker(nn.Module):
    """The tower with linear readings of its tokens, used in training only."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.dense_head = nn.Linear(HIDDEN, sum(n + 1 for n in DENSE.values()))
        self.whole_head = nn.Linear(HIDDEN, sum(GLOBAL.values()))

    def losses(self, batch: tuple[Patches, Targets]) -> dict[str, Tensor]:
        """By what is read; only what the batch's targets ask for."""
        (patches, places, grid), targets = batch
        with torch.autocast("cpu", torch.bfloat16):
            tokens = image_tokens(self.visual, patches, places, grid).float()
            dense = self.dense_head(tokens)
            means = torch.stack([p.mean(0) for p in tokens.split((grid.prod(-1) // 4).tolist())])
            whole = self.whole_head(means)
        losses: dict[str, Tensor] = {}
        sizes = [n + 1 for n in DENSE.values()]
        for column, (name, logits) in enumerate(zip(DENSE, dense.split(sizes, -1), strict=True)):
            if (targets.dense[:, column] >= 0).any():
                weight = torch.ones(logits.shape[-1])
                weight[-1] = 0.3  # most tokens show nothing
                losses[name] = functional.cross_entropy(
                    logits.float(), targets.dense[:, column], weight=weight
                )
        sizes = list(GLOBAL.values())
        for column, (name, logits) in enumerate(zip(GLOBAL, whole.split(sizes, -1), strict=True)):
            if (targets.whole[:, column] >= 0).any():
                losses[name] = 0.5 * functional.cross_entropy(
                    logits.float(), targets.whole[:, column]
                )
        kind = "scene" if "count" in losses else "cut-out"
        return {f"{kind} {name}": loss for name, loss in losses.items()}


class Looks(torch.utils.data.IterableDataset[tuple[Patches, Targets]]):
    """Endless batches: whole scenes with the probability `scenes`, else cut-outs."""

    def __init__(self, pictures: Any, scenes: float, seed: int) -> None:
        self.pictures, self.scenes, self.seed = pictures, scenes, seed

    def __iter__(self) -> Iterator[tuple[Patches, Targets]]:
        rng = np.random.default_rng(self.seed)
        while True:
            full = bool(rng.random() < self.scenes)
            views, truths = [], []
            for _ in range(SCENES_A_BATCH if full else CUTS_A_BATCH):
                pixels, scene = self.pictures[rng.integers(len(self.pictures))]
                picture = Image.fromarray(pixels)
                if full:
                    views.append(whole(picture, scene, rng))
                else:
                    thing = scene.things[rng.integers(len(scene.things))]
                    views.append(cut(picture, scene, thing, rng))
                truths.append(scene)
            patches = patches_of([view.image for view in views])
            yield patches, targets_of(views, truths, [full] * len(views), patches.grid)


def learn_to_look(
    looker: Looker, pictures: Any, scenes: float, steps: int, rates: Rates, seed: int
) -> None:
    """Trains `looker` in place; at the end it holds the weights' running mean."""
    data = Looks(pictures, scenes, seed)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    *_, (_, mean) = descend("look", looker.train(), looker.losses, loader, steps, rates)
    looker.load_state_dict(mean.state_dict())
