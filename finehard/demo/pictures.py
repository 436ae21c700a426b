"""Training scenes, rendered once and stored as raw pixels, so that no epoch renders them again."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finehard.demo.render import render
from finehard.demo.world import Scene

TRAIN_SEED = 1_000_003
"""Evaluation scenes must have another seed."""
_BLOCK = 250


def _render_block(folder: Path, held_out: bool, block: int) -> None:
    path, pixels = folder / f"{block:05d}.pkl", folder / f"{block:05d}.rgb"
    if path.exists():
        return
    scenes: list[tuple[tuple[int, ...], Scene]] = []
    with open(pixels, "wb") as file:
        for index in range(block * _BLOCK, (block + 1) * _BLOCK):
            image, scene = render(TRAIN_SEED, index, held_out)
            array = np.asarray(image)
            file.write(array.tobytes())
            scenes.append((array.shape, scene))
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(pickle.dumps(scenes))
    temporary.rename(path)


def training_pictures(
    folder: str | Path, count: int, workers: int = 1, held_out: bool = False
) -> list[tuple[NDArray[np.uint8], Scene]]:
    """Returns the first `count` training scenes: (pixels (H, W, 3) uint8, truth).

    `held_out` says whether held-out pairs may occur. Scenes are stored in `folder`, which a later
    call with the same arguments reuses; pixels are memory-mapped.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    blocks = range(-(-count // _BLOCK))
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(partial(_render_block, target, held_out), blocks))
    rows = (row for block in blocks for row in _read_block(target / f"{block:05d}.pkl"))
    return list(itertools.islice(rows, count))


def _read_block(path: Path) -> Iterator[tuple[NDArray[np.uint8], Scene]]:
    pixels = np.memmap(path.with_suffix(".rgb"), np.uint8, "r")
    start = 0
    for shape, scene in pickle.loads(path.read_bytes()):
        end = start + math.prod(shape)
        yield pixels[start:end].reshape(shape), scene
        start = end
