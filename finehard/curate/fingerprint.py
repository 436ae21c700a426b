"""A picture's fingerprint: perceptual hashes of several views of it, and a thumbnail.

A copy that was cropped or got a caption bar has other hashes than the picture, but one of its views
has that of one of the picture's. The hash is ImageHash's pHash: 64 bits, one for each of the lowest
frequencies of a cosine transform of 32 x 32 grey levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from finehard.errors import FinehardError

try:
    from imagehash import phash
except ImportError as error:
    raise FinehardError(f"{error}: install finehard[curate]") from None

VERSION = 1
"""To be raised with any change of what `fingerprint` returns: files hold fingerprints."""
VIEWS = 14
STORED = 3
"""The first views: the whole, and all but its lowest or highest fifth. A view of one picture is
looked for among these of the others."""
MIRRORED = 11
"""The first of the views that are mirrored; they are the stored ones."""
THUMBNAIL = 24
"""Pixels on a side of the thumbnail, whatever the picture's aspect."""

_SIDE = 128
_HASHED = 32
_TRIMMED = 0.05
_EDGE = 0.3
"""A bar's edge is looked for in this part of the height, at the top and at the bottom."""
_SPAN = 0.1
"""Part of the width in which a bar may look like the picture beside it."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in [0, 1]."""
_WHOLE: tuple[Box, ...] = ((0, 0, 1, 1), (0, 0, 1, 0.8), (0, 0.2, 1, 1))
_CROPS: tuple[Box, ...] = (
    (_TRIMMED, _TRIMMED, 1 - _TRIMMED, 1 - _TRIMMED),
    (0, 0, 1 - _TRIMMED, 1 - _TRIMMED),
    (_TRIMMED, 0, 1, 1 - _TRIMMED),
    (0, _TRIMMED, 1 - _TRIMMED, 1),
    (_TRIMMED, _TRIMMED, 1, 1),
    (_TRIMMED / 2, _TRIMMED / 2, 1 - _TRIMMED / 2, 1 - _TRIMMED / 2),
)


class Fingerprint(NamedTuple):
    """`hashes` of the views, (VIEWS,) uint64; `thumbnail`, (24, 24, 3) uint8 RGB; `edges`: where a
    bar may end at the top and begin at the bottom, as fractions of the height."""

    hashes: NDArray[np.uint64]
    thumbnail: NDArray[np.uint8]
    edges: tuple[float, float]


def fingerprint(picture: Image.Image) -> Fingerprint:
    """Returns the fingerprint of an RGB picture of any size."""
    small = picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    thumbnail = np.asarray(small.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
    grey = small.convert("L")
    edges = _bar_edges(np.asarray(small, np.float32))
    return Fingerprint(_hashes(grey, edges), thumbnail, edges)


def view(edges: tuple[float, float], number: int) -> tuple[Box, bool]:
    """Returns the box of view `number` of a picture with `edges`, and whether it is mirrored."""
    top, bottom = edges
    boxes = (*_WHOLE, *_CROPS, (0, 0, 1, bottom), (0, top, 1, 1), *_WHOLE)
    return boxes[number], number >= MIRRORED


def scaled(box: Box, side: int) -> Box:
    """Returns a box in pixels of a square."""
    x1, y1, x2, y2 = box
    return x1 * side, y1 * side, x2 * side, y2 * side


def _bar_edges(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """Returns the strongest horizontal edges that span the width, one near the top, one near the
    bottom, of (128, 128, 3) pixels."""
    steps = np.quantile(np.abs(np.diff(pixels, axis=0)).max(axis=2), _SPAN, axis=1)
    rows = int(_SIDE * _EDGE)
    top = int(np.argmax(steps[:rows])) + 1
    bottom = _SIDE - rows + int(np.argmax(steps[_SIDE - 1 - rows :]))
    return top / _SIDE, bottom / _SIDE


def _hashes(grey: Image.Image, edges: tuple[float, float]) -> NDArray[np.uint64]:
    views = [
        grey.resize((_HASHED, _HASHED), Image.Resampling.LANCZOS, scaled(box, _SIDE))
        for box, _ in (view(edges, number) for number in range(MIRRORED))
    ]
    views += map(ImageOps.mirror, views[:STORED])
    bits = np.array([phash(each).hash for each in views]).reshape(VIEWS, -1)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)[:, 0]
