"""Lessons as arrays: patches, token ids, labels, and what each image token shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from finehard.demo.vlm.lessons import Lesson, lesson
from finehard.demo.vlm.model import (
    MAX_PIXELS,
    MIN_PIXELS,
    PATCH,
    TOKEN_SIDE,
)
from finehard.demo.world import COLORS, KINDS, PATTERNS, POSITIONS, SIZES, SURFACES, WALLS, Scene

DENSE = {"kind": len(KINDS), "color": len(COLORS), "pattern": 4, "size": 3, "place": 3}
"""What is asked of each image token, and how many values it has; one more value is "nothing"."""
GLOBAL = {"count": 9, "surface": len(SURFACES), "wall": len(WALLS), "light": 2}
"""What is asked of a whole scene's tokens, averaged."""


class Batch(NamedTuple):
    """Tensors of a batch: N texts of T tokens, I images of up to P patches, M image tokens."""

    ids: Tensor  # (N, T)
    labels: Tensor  # (N, T), -100 where no loss is taken
    mask: Tensor  # (N, T)
    patches: Tensor  # (I, P, 3 * PATCH * PATCH) uint8, padded
    places: Tensor  # (I, P, 2) row and column of each patch
    grid: Tensor  # (I, 3)
    dense: Tensor  # (M, len(DENSE)), -100 where not asked
    globals: Tensor  # (I, len(GLOBAL)), -100 where not asked


def patches_of(image: Image.Image) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Patches of `image` in Qwen2-VL's order, (n, 3 * PATCH * PATCH), and (rows, columns)."""
    height, width = smart_resize(image.height, image.width, TOKEN_SIDE, MIN_PIXELS, MAX_PIXELS)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    rows, columns = height // PATCH, width // PATCH
    pixels = np.asarray(image).reshape(rows // 2, 2, PATCH, columns // 2, 2, PATCH, 3)
    return pixels.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, -1), (rows, columns)


def prompt(item: Lesson, counts: list[int]) -> str:
    """The chat prompt, as `finehard.lmm.question.messages` puts it; `counts`: images' tokens."""
    images = "".join(
        (f"Image {number}:" if len(counts) > 1 else "")
        + f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>"
        for number, count in enumerate(counts, 1)
    )
    return f"<|im_start|>user\n{images}{item.text}<|im_end|>\n<|im_start|>assistant\n"


def collate(tokenizer: Any, lessons: list[Lesson], scenes: list[Scene]) -> Batch:
    """One batch of `lessons`, whose scenes are `scenes`."""
    rows, patches, grid, dense, whole = [], [], [], [], []
    for item, scene in zip(lessons, scenes, strict=True):
        counts = []
        for image, seen in zip(item.images, item.seen, strict=True):
            cut, (high, wide) = patches_of(image)
            patches.append(cut)
            grid.append((1, high, wide))
            counts.append(high * wide // 4)
            full = item.truth is not None and "short_caption" in item.truth
            dense.append(_dense(seen, scene, high // 2, wide // 2, full))
            whole.append(_globals(scene, full))
        asked = tokenizer(prompt(item, counts), add_special_tokens=False).input_ids
        told = tokenizer(item.reply + "<|im_end|>", add_special_tokens=False).input_ids
        rows.append((asked, told))
    longest = max(len(asked) + len(told) for asked, told in rows)
    ids = np.full((len(rows), longest), tokenizer.pad_token_id, np.int64)
    labels = np.full((len(rows), longest), -100, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for row, (asked, told) in enumerate(rows):
        end = len(asked) + len(told)
        ids[row, :end] = asked + told
        labels[row, len(asked) : end] = told
        mask[row, :end] = 1
    padded, places = _padded(patches, grid)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(labels),
        torch.from_numpy(mask),
        torch.from_numpy(padded),
        torch.from_numpy(places),
        torch.tensor(grid, dtype=torch.int64).view(-1, 3),
        torch.from_numpy(np.concatenate([np.zeros((0, len(DENSE)), np.int64), *dense])),
        torch.tensor(whole, dtype=torch.int64).view(-1, len(GLOBAL)),
    )


def _padded(
    patches: list[NDArray[np.uint8]], grid: list[tuple[int, int, int]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Patches of all images and their places, padded to the longest."""
    longest = max(map(len, patches), default=0)
    padded = np.zeros((len(patches), longest, 3 * PATCH * PATCH), np.uint8)
    places = np.zeros((len(patches), longest, 2), np.int64)
    for row, (cut, (_, high, wide)) in enumerate(zip(patches, grid, strict=True)):
        padded[row, : len(cut)] = cut
        both = np.moveaxis(np.mgrid[0:high, 0:wide], 0, -1).reshape(high // 2, 2, wide // 2, 2, 2)
        places[row, : len(cut)] = both.transpose(0, 2, 1, 3, 4).reshape(-1, 2)
    return padded, places


def _dense(seen: Any, scene: Scene, rows: int, columns: int, full: bool) -> NDArray[np.int64]:
    """For each image token, what stands at its centre; the nearest thing, where several do."""
    nothing = list(DENSE.values())
    found = np.tile(np.asarray(nothing, np.int64), (rows, columns, 1))
    y, x = ((np.arange(rows) + 0.5) / rows)[:, None], ((np.arange(columns) + 0.5) / columns)[None]
    order = sorted(range(len(seen)), key=lambda i: seen[i][1][3])
    for index in order:
        thing, (x1, y1, x2, y2) = seen[index]
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


def _globals(scene: Scene, full: bool) -> tuple[int, ...]:
    if not full:
        return (-100, SURFACES.index(scene.surface), -100, -100)
    return (
        len(scene.things),
        SURFACES.index(scene.surface),
        WALLS.index(scene.wall),
        int(scene.light == "left"),
    )


class Batches(torch.utils.data.IterableDataset[tuple[str, Batch]]):
    """Endless batches over `pictures`.

    `plan` gives the task and the size of a batch from a generator, and the most objects of a scene
    from the number of the step: short lessons come first.
    """

    def __init__(self, pictures: Any, tokenizer: Any, plan: Any, seed: int) -> None:
        self.pictures, self.tokenizer, self.plan, self.seed = pictures, tokenizer, plan, seed

    def __iter__(self) -> Iterator[tuple[str, Batch]]:
        counts = np.asarray([len(scene.things) for _, scene in self.pictures])
        by_count = np.argsort(counts, kind="stable")
        step = 0
        while True:
            rng = np.random.default_rng((self.seed, step))
            task, size, most = self.plan(rng, step)
            easy = by_count[: int(np.searchsorted(counts[by_count], most, side="right"))]
            chosen = [self.pictures[i] for i in easy[rng.integers(len(easy), size=size)]]
            if task == "negatives":
                pixels = Image.new("RGB", (8, 8))
                items = [lesson(task, pixels, scene, rng, most) for _, scene in chosen]
            else:
                items = [lesson(task, Image.fromarray(p), scene, rng, most) for p, scene in chosen]
            yield task, collate(self.tokenizer, items, [scene for _, scene in chosen])
            step += 1
