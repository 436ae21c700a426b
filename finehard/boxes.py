"""Geometry of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def iou(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of xyxy boxes (..., 4) and (..., 4), broadcast; 0 for empty ones."""
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    width = np.minimum(boxes[..., 2], others[..., 2]) - np.maximum(boxes[..., 0], others[..., 0])
    height = np.minimum(boxes[..., 3], others[..., 3]) - np.maximum(boxes[..., 1], others[..., 1])
    inner = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    other_area = (others[..., 2] - others[..., 0]) * (others[..., 3] - others[..., 1])
    union = area + other_area - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0.0)
