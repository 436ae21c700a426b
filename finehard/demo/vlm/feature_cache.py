"""Features of the frozen vision tower for all training images, computed once before fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from finehard.demo.vlm.examples import FULL_IMAGE
from finehard.demo.vlm.model import image_tokens
from finehard.demo.vlm.patches import Patches, make_patches
from finehard.demo.vlm.views import crop_view, full_view

_SCENES_PER_BATCH = 16


class FeatureCache(NamedTuple):
    """Image tokens of V views: for each scene its full image, then the crop of each object."""

    tokens: Tensor  # (M, HIDDEN) float16
    token_starts: Tensor  # (V + 1,) index of each view's first token
    grid: Tensor  # (V, 3), see `finehard.demo.vlm.patches.Patches`
    first_views: Tensor  # (scenes,) index of each scene's first view

    def view(self, scene: int, image: int) -> tuple[Tensor, Tensor]:
        """Returns a view's tokens (n, HIDDEN) and grid (3,); `image` as in `Example.images`."""
        number = int(self.first_views[scene]) + (0 if image == FULL_IMAGE else 1 + image)
        start, end = self.token_starts[number], self.token_starts[number + 1]
        return self.tokens[start:end], self.grid[number]


class _ViewBatches(torch.utils.data.IterableDataset[tuple[Patches, Patches, list[int]]]):
    """For a few scenes at a time: full images, crops, and the number of crops of each scene."""

    def __init__(self, pictures: Any, seed: int) -> None:
        self.pictures, self.seed = pictures, seed

    def __iter__(self) -> Iterator[tuple[Patches, Patches, list[int]]]:
        for first in range(0, len(self.pictures), _SCENES_PER_BATCH):
            full, crops, counts = [], [], []
            for index in range(first, min(first + _SCENES_PER_BATCH, len(self.pictures))):
                pixels, scene = self.pictures[index]
                picture, rng = Image.fromarray(pixels), np.random.default_rng((self.seed, index))
                full.append(full_view(picture, scene, rng).image)
                crops += [crop_view(picture, scene, thing, rng).image for thing in scene.things]
                counts.append(len(scene.things))
            yield make_patches(full), make_patches(crops), counts


def compute_features(visual: nn.Module, pictures: Any, seed: int) -> FeatureCache:
    """Runs the vision tower over the full image of every scene and the crop of every object."""
    tokens: list[Tensor] = []
    grids: list[Tensor] = []
    views = [0]
    data = _ViewBatches(pictures, seed)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    for full, crops, counts in loader:
        full_tokens, crop_tokens = (_encode(visual, patches) for patches in (full, crops))
        start = 0
        for number, count in enumerate(counts):
            tokens += [full_tokens[number], *crop_tokens[start : start + count]]
            grids += [full.grid[number : number + 1], crops.grid[start : start + count]]
            views.append(views[-1] + 1 + count)
            start += count
    starts = torch.tensor([0, *map(len, tokens)]).cumsum(0)
    return FeatureCache(torch.cat(tokens), starts, torch.cat(grids), torch.tensor(views[:-1]))


def _encode(visual: nn.Module, patches: Patches) -> tuple[Tensor, ...]:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        tokens = image_tokens(visual, *patches).half()
    return tokens.split((patches.grid.prod(-1) // 4).tolist())
