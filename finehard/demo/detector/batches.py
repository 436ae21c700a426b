"""Training batches of the detector, with the object that each patch is assigned to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from finehard.demo.detector.model import GRID, MEAN, SIZE, STD
from finehard.demo.world import Scene

NO_OBJECT, IGNORE = -1, -2


class Batch(NamedTuple):
    """B images with N objects in total.

    An assignment is, for each patch, the index of an object, or `NO_OBJECT`. The strict one also
    has `IGNORE`, for patches that are in an object but not near its centre.
    """

    pixels: Tensor  # (B, 3, SIZE, SIZE), normalised
    scenes: list[Scene]
    strict: Tensor  # (B, GRID * GRID) int64
    wide: Tensor  # (B, GRID * GRID) int64
    boxes: Tensor  # (N, 4) xyxy, as fractions of the sides


def draw_batch(pictures: list[Any], count: int, rng: np.random.Generator) -> Batch:
    """Returns `count` random pictures, flipped and brightened at random."""
    pixels, scenes, assignments = [], [], []
    boxes: list[tuple[float, ...]] = []
    y, x = (np.mgrid[0:GRID, 0:GRID].reshape(2, -1) + 0.5) / GRID
    for index in rng.integers(len(pictures), size=count):
        array, scene = pictures[index]
        image = Image.fromarray(array).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        scaled = np.asarray(image, np.float32) / 255
        flip = rng.random() < 0.5
        if flip:
            scaled = scaled[:, ::-1]
        scaled = scaled * rng.uniform(0.92, 1.08)
        pixels.append((scaled.transpose(2, 0, 1) - MEAN[0]) / STD[0])
        assigned = np.full((2, GRID * GRID), NO_OBJECT, np.int64)
        first = len(boxes)
        for thing in scene.things:
            x1, x2 = thing.box[0] / scene.width, thing.box[2] / scene.width
            y1, y2 = thing.box[1] / scene.height, thing.box[3] / scene.height
            boxes.append((1 - x2, y1, 1 - x1, y2) if flip else (x1, y1, x2, y2))
        # (fraction of the box, row of `assigned`, whether patches in it belong to the object)
        for core, row, belongs in ((0.95, 1, True), (0.7, 0, False), (0.45, 0, True)):
            for number in sorted(range(first, len(boxes)), key=lambda n: boxes[n][3]):
                x1, y1, x2, y2 = boxes[number]
                cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                near = (abs(x - cx) < core / 2 * (x2 - x1)) & (abs(y - cy) < core / 2 * (y2 - y1))
                near[int(cy * GRID) * GRID + int(cx * GRID)] |= belongs
                assigned[row, near] = number if belongs else IGNORE
        scenes.append(scene)
        assignments.append(assigned)
    strict, wide = torch.from_numpy(np.stack(assignments)).unbind(1)
    return Batch(
        torch.from_numpy(np.ascontiguousarray(np.stack(pixels), np.float32)),
        scenes,
        strict,
        wide,
        torch.tensor(boxes, dtype=torch.float32),
    )
