"""Cheap measures of a decoded picture, and which of them are reasons to leave it out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finehard.curate.config import CurateConfig
from finehard.curate.reason import Reason

_SIDE = 256
"""Longest side of what is measured, in pixels, so that figures mean the same for all sizes."""
_TILE = 8
_FLAT = 12
"""Grey levels within which a tile is paper."""
_CONTRAST = 96
"""Grey levels between ink and paper."""
_PAPER = 16
"""Grey levels around the most common one that are the paper of all tiles."""
_GREY = 24
"""Most that the channels of ink and paper differ in print."""


class Quality(NamedTuple):
    """Measures of a picture, at 256 pixels: `entropy` of the grey levels in bits (0 to 8);
    `sharpness`, the variance of the Laplacian (Pech-Pacheco et al. 2000); `text`, the share of the
    picture that looks like print, paper included (0 to 1)."""

    entropy: float
    sharpness: float
    text: float


def measure(picture: Image.Image) -> Quality:
    """Returns the measures of an RGB picture."""
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    grey = small.convert("L")
    return Quality(grey.entropy(), _sharpness(np.asarray(grey, np.float32)), _text(small, grey))


def _sharpness(grey: NDArray[np.float32]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())


def _text(small: Image.Image, grey: Image.Image) -> float:
    """Returns the share of tiles that are paper or grey ink on it; 0 where none has ink."""
    colours = _tiles(np.asarray(small, np.int16))
    levels = _tiles(np.asarray(grey, np.int16)[..., None])[..., 0]
    if not len(levels):
        return 0.0
    paper = int(np.argmax(grey.histogram()))
    low, high = levels.min(axis=1), levels.max(axis=1)
    on_paper = (np.abs(levels - paper) <= _PAPER).mean(axis=1) >= 0.25
    uncoloured = np.ptp(colours, axis=2).mean(axis=1) <= _GREY
    flat = on_paper & (high - low <= _FLAT)
    ink = on_paper & uncoloured & (high - low >= _CONTRAST)
    if ink.mean() < 0.02:
        return 0.0
    return float((flat | ink).mean())


def _tiles(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    """Returns whole tiles of (h, w, c) pixels as (n, 64, c)."""
    rows, columns = (side // _TILE for side in pixels.shape[:2])
    cut = pixels[: rows * _TILE, : columns * _TILE]
    tiles = cut.reshape(rows, _TILE, columns, _TILE, -1).swapaxes(1, 2)
    return tiles.reshape(rows * columns, _TILE * _TILE, -1)


def size_reason(width: int, height: int, config: CurateConfig) -> Reason | None:
    """Returns why a picture of so many pixels is left out; None if it is not."""
    if min(width, height) < config.min_side:
        return Reason("small_side", f"{width} x {height} px")
    aspect = max(width, height) / min(width, height)
    if config.max_aspect is not None and aspect > config.max_aspect:
        return Reason("long_and_narrow", f"{width} x {height} px")
    return None


def quality_reason(picture: Image.Image, config: CurateConfig) -> Reason | None:
    """Returns why an RGB picture is left out for what it looks like; None if it is not."""
    if not (config.min_entropy or config.min_sharpness or config.max_text < 1):
        return None
    found = measure(picture)
    if found.entropy < config.min_entropy:
        return Reason("low_entropy", f"{found.entropy:.2f} bits")
    if found.sharpness < config.min_sharpness:
        return Reason("blurred", f"sharpness {found.sharpness:.1f}")
    if found.text > config.max_text:
        return Reason("text_only", f"{found.text:.2f} of it is print")
    return None
