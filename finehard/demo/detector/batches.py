"""Batches of pictures, and which object each cell of the image tower belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from finehard.demo.detector.model import GRID, MEAN, SIZE, STD
from finehard.demo.world import Scene


def draw(
    pictures: list[Any], count: int, rng: np.random.Generator
) -> tuple[Tensor, list[Scene], Tensor, Tensor]:
    """Pixels (B, 3, 256, 256); scenes; each cell's object in the strict and in the wide sense,
    (B, 2, cells) int64: index among the batch's objects in order, -1 for none, -2 for not judged;
    boxes of all objects (N, 4) xyxy."""
    pixels, scenes, owners = [], [], []
    boxes: list[tuple[float, ...]] = []
    y, x = (np.mgrid[0:GRID, 0:GRID].reshape(2, -1) + 0.5) / GRID
    for index in rng.integers(len(pictures), size=count):
        array, scene = pictures[index]
        image = Image.fromarray(array).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        shown = np.asarray(image, np.float32) / 255
        flip = rng.random() < 0.5
        if flip:
            shown = shown[:, ::-1]
        shown = shown * rng.uniform(0.92, 1.08)
        pixels.append((shown.transpose(2, 0, 1) - MEAN[0]) / STD[0])
        owner = np.full((2, GRID * GRID), -1, np.int64)
        first = len(boxes)
        for thing in scene.things:
            x1, x2 = thing.box[0] / scene.width, thing.box[2] / scene.width
            y1, y2 = thing.box[1] / scene.height, thing.box[3] / scene.height
            boxes.append((1 - x2, y1, 1 - x1, y2) if flip else (x1, y1, x2, y2))
        # The strict sense: cells near the centre are the object's, those around not judged.
        for core, row, judged in ((0.95, 1, True), (0.7, 0, False), (0.45, 0, True)):
            for number in sorted(range(first, len(boxes)), key=lambda n: boxes[n][3]):
                x1, y1, x2, y2 = boxes[number]
                cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                near = (abs(x - cx) < core / 2 * (x2 - x1)) & (abs(y - cy) < core / 2 * (y2 - y1))
                near[int(cy * GRID) * GRID + int(cx * GRID)] |= judged
                owner[row, near] = number if judged else -2
        scenes.append(scene)
        owners.append(owner)
    return (
        torch.from_numpy(np.ascontiguousarray(np.stack(pixels), np.float32)),
        scenes,
        torch.from_numpy(np.stack(owners)),
        torch.tensor(boxes, dtype=torch.float32),
    )
