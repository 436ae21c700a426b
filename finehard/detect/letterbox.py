"""Letterboxing: pads images to a square canvas, and maps boxes back to the image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Placement(NamedTuple):
    """Position and size of the scaled image on the canvas, in canvas pixels."""

    left: int
    top: int
    width: int
    height: int


def letterbox(
    image: Image.Image, size: int, fill: int, centred: bool
) -> tuple[NDArray[np.uint8], Placement]:
    """Scales the longest side of `image` to `size`, and pads it to a square, all channels `fill`.

    Returns the canvas, (size, size, 3) uint8 RGB, and the image's placement: centred, or in the
    upper left corner. The aspect ratio is kept, but each side has at least one pixel.
    """
    scale = size / max(image.width, image.height)
    width = min(size, max(1, round(image.width * scale)))
    height = min(size, max(1, round(image.height * scale)))
    left, top = ((size - width) // 2, (size - height) // 2) if centred else (0, 0)
    canvas = np.full((size, size, 3), fill, dtype=np.uint8)
    scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    canvas[top : top + height, left : left + width] = np.asarray(scaled)
    return canvas, Placement(left, top, width, height)


def undo_letterbox(boxes: NDArray[np.floating], placement: Placement) -> NDArray[np.float64]:
    """Converts xyxy boxes (N, 4) from canvas pixels to image fractions, without clipping."""
    offset = np.array([placement.left, placement.top] * 2, dtype=np.float64)
    extent = np.array([placement.width, placement.height] * 2, dtype=np.float64)
    return (boxes.astype(np.float64) - offset) / extent


def cxcywh_to_xyxy(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Converts boxes (N, 4) from cxcywh to xyxy."""
    boxes = boxes.astype(np.float64)
    half = boxes[:, 2:] / 2.0
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
