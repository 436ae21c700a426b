"""What the trained vision tower sees in every training picture, found once for all lessons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from finehard.demo.vlm.examples import WHOLE
from finehard.demo.vlm.model import image_tokens
from finehard.demo.vlm.patches import Patches, patches_of
from finehard.demo.vlm.views import cut, whole

_SCENES_AT_ONCE = 16


class Seen(NamedTuple):
    """Image tokens of V views: of each scene the whole, then the cut-out of each thing."""

    tokens: Tensor  # (M, HIDDEN) float16
    starts: Tensor  # (V + 1,) where each view's tokens begin
    grid: Tensor  # (V, 3) as `finehard.demo.vlm.patches.Patches`
    views: Tensor  # (scenes,) each scene's first view

    def view(self, scene: int, shows: int) -> tuple[Tensor, Tensor]:
        """The tokens (n, HIDDEN) and grid (3,) of a view; `shows` as in a lesson."""
        number = int(self.views[scene]) + (0 if shows == WHOLE else 1 + shows)
        return self.tokens[self.starts[number] : self.starts[number + 1]], self.grid[number]


class _Views(torch.utils.data.IterableDataset[tuple[Patches, Patches, list[int]]]):
    """Of some scenes at a time: their wholes, their cut-outs, and how many each has of these."""

    def __init__(self, pictures: Any, seed: int) -> None:
        self.pictures, self.seed = pictures, seed

    def __iter__(self) -> Iterator[tuple[Patches, Patches, list[int]]]:
        for first in range(0, len(self.pictures), _SCENES_AT_ONCE):
            wholes, cuts, counts = [], [], []
            for index in range(first, min(first + _SCENES_AT_ONCE, len(self.pictures))):
                pixels, scene = self.pictures[index]
                picture, rng = Image.fromarray(pixels), np.random.default_rng((self.seed, index))
                wholes.append(whole(picture, scene, rng).image)
                cuts += [cut(picture, scene, thing, rng).image for thing in scene.things]
                counts.append(len(scene.things))
            yield patches_of(wholes), patches_of(cuts), counts


def see_all(visual: nn.Module, pictures: Any, seed: int) -> Seen:
    """Looks at every scene and every thing's cut-out once."""
    tokens: list[Tensor] = []
    grids: list[Tensor] = []
    views = [0]
    loader = torch.utils.data.DataLoader(_Views(pictures, seed), batch_size=None, num_workers=1)
    for wholes, cuts, counts in loader:
        whole_tokens, cut_tokens = (_look(visual, part) for part in (wholes, cuts))
        at = 0
        for number, count in enumerate(counts):
            tokens += [whole_tokens[number], *cut_tokens[at : at + count]]
            grids += [wholes.grid[number : number + 1], cuts.grid[at : at + count]]
            views.append(views[-1] + 1 + count)
            at += count
    lengths = torch.tensor([0, *map(len, tokens)])
    return Seen(torch.cat(tokens), lengths.cumsum(0), torch.cat(grids), torch.tensor(views[:-1]))


def _look(visual: nn.Module, part: Patches) -> tuple[Tensor, ...]:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = image_tokens(visual, *part).half()
    return found.split((part.grid.prod(-1) // 4).tolist())
