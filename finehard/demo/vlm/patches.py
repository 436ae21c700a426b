"""Views as arrays for the vision tower: patches, and the labels of their image tokens."""

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

TOKEN_LABELS = {"kind": len(KINDS), "color": len(COLORS), "pattern": 4, "size": 3, "place": 3}
"""The labels of an image token and their numbers of values; one value more is "no object"."""
IMAGE_LABELS = {"count": 9, "surface": len(SURFACES), "wall": len(WALLS), "light": 2}
"""The labels of a view, predicted from the mean of its tokens."""


class Patches(NamedTuple):
    """I images of up to P patches."""

    patches: Tensor  # (I, P, 3 * PATCH * PATCH) uint8, padded
    positions: Tensor  # (I, P, 2) row and column of each patch
    grid: Tensor  # (I, 3): 1, rows and columns of patches


class Targets(NamedTuple):
    """Labels of I images with M tokens; -100 where a label does not apply."""

    tokens: Tensor  # (M, len(TOKEN_LABELS))
    images: Tensor  # (I, len(IMAGE_LABELS))


def make_patches(images: list[Image.Image]) -> Patches:
    """Cuts images as a server's image processor does, resized to a whole number of tokens."""
    patches, grid = zip(*map(_cut, images), strict=True)
    longest = max(map(len, patches))
    padded = np.zeros((len(patches), longest, 3 * PATCH * PATCH), np.uint8)
    positions = np.zeros((len(patches), longest, 2), np.int64)
    for row, (own, (_, rows, columns)) in enumerate(zip(patches, grid, strict=True)):
        padded[row, : len(own)] = own
        both = np.moveaxis(np.mgrid[0:rows, 0:columns], 0, -1)
        tokens = both.reshape(rows // 2, 2, columns // 2, 2, 2).transpose(0, 2, 1, 3, 4)
        positions[row, : len(own)] = tokens.reshape(-1, 2)
    return Patches(torch.from_numpy(padded), torch.from_numpy(positions), torch.tensor(grid))


def _cut(image: Image.Image) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Returns patches in Qwen2-VL's order, (n, 3 * PATCH * PATCH), and the image's grid."""
    height, width = smart_resize(image.height, image.width, TOKEN_SIDE, MIN_PIXELS, MAX_PIXELS)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    rows, columns = height // PATCH, width // PATCH
    pixels = np.asarray(image).reshape(rows // 2, 2, PATCH, columns // 2, 2, PATCH, 3)
    patches = pixels.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, -1)
    return patches, (1, rows, columns)


def make_targets(views: list[View], scenes: list[Scene], full: bool, grid: Tensor) -> Targets:
    """Returns the labels of `views` of `scenes`; `full` if they show the whole scenes.

    The labels of crops are those that can be judged from a crop.
    """
    tokens, images = [], []
    for view, scene, (_, rows, columns) in zip(views, scenes, grid.tolist(), strict=True):
        tokens.append(_token_labels(view, scene, rows // 2, columns // 2, full))
        count, wall, light = -100, -100, -100
        if full:
            count, wall = len(scene.things), WALLS.index(scene.wall)
            light = int(scene.light == "left")
        images.append((count, SURFACES.index(scene.surface), wall, light))
    return Targets(torch.from_numpy(np.concatenate(tokens)), torch.tensor(images))


def _token_labels(
    view: View, scene: Scene, rows: int, columns: int, full: bool
) -> NDArray[np.int64]:
    """Returns the labels of the object at each token's centre, the nearest one if several are."""
    no_object = list(TOKEN_LABELS.values())
    labels: Any = np.tile(np.asarray(no_object, np.int64), (rows, columns, 1))
    y, x = ((np.arange(rows) + 0.5) / rows)[:, None], ((np.arange(columns) + 0.5) / columns)[None]
    for thing, (x1, y1, x2, y2) in sorted(view.parts, key=lambda part: part[1][3]):
        values = (
            KINDS.index(thing.kind), COLORS.index(thing.color), PATTERNS.index(thing.pattern),
            SIZES.index(thing.size), POSITIONS.index(scene.position(thing)),
        )  # fmt: skip
        inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        labels[inside] = values
        if full:  # an object smaller than a token still gets one
            row, column = int((y1 + y2) / 2 * rows), int((x1 + x2) / 2 * columns)
            labels[min(row, rows - 1), min(column, columns - 1)] = values
    if not full:
        labels[:, :, 3:] = -100
    return labels.reshape(-1, len(TOKEN_LABELS))
