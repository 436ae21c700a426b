"""Put an image of any shape on a square canvas of one size, and find boxes on it back."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Placement(NamedTuple):
    """Where the scaled image lies on the canvas, in canvas pixels."""

    left: int
    top: int
    width: int
    height: int


def letterbox(
    image: Image.Image, size: int, fill: int, centred: bool
) -> tuple[NDArray[np.uint8], Placement]:
    """The image scaled to `size` on its longest side, on a square of grey `fill`.

    Returns the canvas (size, size, 3) uint8 RGB and where the image lies on it. The image keeps
    its shape, but no side is scaled below one pixel. It lies in the middle (`centred`) or in the
    upper left corner.
    """
    scale = size / max(image.width, image.height)
    width = min(size, max(1, round(image.width * scale)))
    height = min(size, max(1, round(image.height * scale)))
    left, top = ((size - width) // 2, (size - height) // 2) if centred else (0, 0)
    canvas = np.full((size, size, 3), fill, dtype=np.uint8)
    scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    canvas[top : top + height, left : left + width] = np.asarray(scaled)
    return canvas, Placement(left, top, width, height)


def back(boxes: NDArray[np.floating], placement: Placement) -> NDArray[np.float64]:
    """Boxes (N, 4), xyxy in canvas pixels, as xyxy normalised to the image; not clipped."""
    offset = np.array([placement.left, placement.top] * 2, dtype=np.float64)
    extent = np.array([placement.width, placement.height] * 2, dtype=np.float64)
    return (boxes.astype(np.float64) - offset) / extent


def corners(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Boxes (N, 4) from centre, width, height to xyxy."""
    boxes = boxes.astype(np.float64)
    half = boxes[:, 2:] / 2.0
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
