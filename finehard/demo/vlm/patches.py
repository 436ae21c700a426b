"""Views as arrays for the vision tower: patches, and what each image token shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from finehard.demo.vlm.model import MAX_PIXELS, MIN_PIXELS, PATCH, TOKEN_SIDE
from finehard.demo.vlm.views import View
from finehard.demo.world import COLORS, KINDS, PATTERNS, POSITIONS, SIZES, SURFACES, WALLS, Scene

DENSE = {"kind": len(KINDS), "color": len(COLORS), "pattern": 4, "size": 3, "place": 3}
"""What is asked of each image token, and how many values it has; one more value is "nothing"."""
GLOBAL = {"count": 9, "surface": len(SURFACES), "wall": len(WALLS), "light": 2}
"""What is asked of a whole view's tokens, averaged."""


class Patches(NamedTuple):
    """I images of up to P patches."""

    patches: Tensor  # (I, P, 3 * PATCH * PATCH) uint8, padded
    places: Tensor  # (I, P, 2) row and column of each patch
    grid: Tensor  # (I, 3): 1, rows and columns of patches


class Targets(NamedTuple):
    """What is to be read from I images' M tokens; -100 where it is not asked."""

    dense: Tensor  # (M, len(DENSE))
    whole: Tensor  # (I, len(GLOBAL))


def patches_of(images: list[Image.Image]) -> Patches:
    """Images as a server's image processor cuts them, resized to whole tokens."""
    cuts, grid = zip(*map(_cut, images), strict=True)
    longest = max(map(len, cuts))
    padded = np.zeros((len(cuts), longest, 3 * PATCH * PATCH), np.uint8)
    places = np.zeros((len(cuts), longest, 2), np.int64)
    for row, (patches, (_, high, wide)) in enumerate(zip(cuts, grid, strict=True)):
        padded[row, : len(patches)] = patches
        both = np.moveaxis(np.mgrid[0:high, 0:wide], 0, -1).reshape(high // 2, 2, wide // 2, 2, 2)
        places[row, : len(patches)] = both.transpose(0, 2, 1, 3, 4).reshape(-1, 2)
    return Patches(torch.from_numpy(padded), torch.from_numpy(places), torch.tensor(grid))


def _cut(image: Image.Image) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Patches of `image` in Qwen2-VL's order, (n, 3 * PATCH * PATCH), and its row of a grid."""
    height, width = smart_resize(image.height, image.width, TOKEN_SIDE, MIN_PIXELS, MAX_PIXELS)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    rows, columns = height // PATCH, width // PATCH
    pixels = np.asarray(image).reshape(rows // 2, 2, PATCH, columns // 2, 2, PATCH, 3)
    patches = pixels.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, -1)
    return patches, (1, rows, columns)


def targets_of(views: list[View], scenes: list[Scene], full: list[bool], grid: Tensor) -> Targets:
    """The truth about `views` of `scenes`; `full` where a view shows the whole scene."""
    dense, whole = [], []
    for view, scene, all_of_it, (_, high, wide) in zip(
        views, scenes, full, grid.tolist(), strict=True
    ):
        dense.append(_dense(view, scene, high // 2, wide // 2, all_of_it))
        surface = SURFACES.index(scene.surface)
        others = (len(scene.things), WALLS.index(scene.wall), int(scene.light == "left"))
        count, wall, light = others if all_of_it else (-100, -100, -100)
        whole.append((count, surface, wall, light))
    return Targets(torch.from_numpy(np.concatenate(dense)), torch.tensor(whole))


def _dense(view: View, scene: Scene, rows: int, columns: int, full: bool) -> NDArray[np.int64]:
    """For each image token, what stands at its centre; the nearest thing, where several do."""
    nothing = list(DENSE.values())
    found: Any = np.tile(np.asarray(nothing, np.int64), (rows, columns, 1))
    y, x = ((np.arange(rows) + 0.5) / rows)[:, None], ((np.arange(columns) + 0.5) / columns)[None]
    for thing, (x1, y1, x2, y2) in sorted(view.parts, key=lambda part: part[1][3]):
        values = (
            KINDS.index(thing.kind), COLORS.index(thing.color), PATTERNS.index(thing.pattern),
            SIZES.index(thing.size), POSITIONS.index(scene.position(thing)),
        )  # fmt: skip
        inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        found[inside] = values
        if full:  # a thing smaller than a token still has one
            row, column = int((y1 + y2) / 2 * rows), int((x1 + x2) / 2 * columns)
            found[min(row, rows - 1), min(column, columns - 1)] = values
    if not full:
        found[:, :, 3:] = -100
    return found.reshape(-1, len(DENSE))
