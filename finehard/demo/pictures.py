"""Training scenes, rendered once and kept as raw pixels, so that epochs cost no rendering."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finehard.demo.render import render
from finehard.demo.world import Scene

TRAIN_SEED = 1_000_003
"""Scenes to be measured on must have another seed."""
_BLOCK = 250


def _render_block(folder: Path, held_out: bool, block: int) -> None:
    path = folder / f"{block:05d}.pkl"
    if path.exists():
        return
    made = [
        render(TRAIN_SEED, index, held_out) for index in range(block * _BLOCK, (block + 1) * _BLOCK)
    ]
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(pickle.dumps([(np.asarray(image), scene) for image, scene in made]))
    temporary.rename(path)


def training_pictures(
    folder: str | Path, count: int, workers: int = 1, held_out: bool = False
) -> list[tuple[NDArray[np.uint8], Scene]]:
    """`count` training scenes (a multiple of 250): (pixels (H, W, 3) uint8, truth).

    `held_out`: whether held-out pairs may occur. `folder` keeps what is rendered, for the next
    call with the same.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    blocks = range(-(-count // _BLOCK))
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(partial(_render_block, target, held_out), blocks))
    return [row for b in blocks for row in pickle.loads((target / f"{b:05d}.pkl").read_bytes())]
