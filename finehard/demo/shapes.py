# ruff: noqa: E501  (tables of coordinates)
"""The shape of each kind of object: parts in a unit square, each a mask with paint and shading.

A part is (paint, shading, primitives). Paint: "body" takes the object's color and pattern, "plain"
its color alone, "shade" its color darkened, or an RGB triple. Coordinates are x, y in [0, 1], y
downwards.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Primitive = tuple[str, tuple[float, ...]]
Part = tuple[str | tuple[int, int, int], str, tuple[Primitive, ...]]


def _turned(*profile: Point, base: float = 0.05) -> Primitive:
    """Returns a turned shape of (y, half width) points, with a round foot of height 2 * `base`."""
    ys = np.linspace(profile[0][0], profile[-1][0] - base, 40)
    half = np.interp(ys, [p[0] for p in profile], [p[1] for p in profile])
    half = np.convolve(np.pad(half, 2, mode="edge"), np.ones(5) / 5, "valid")
    foot = [
        (0.5 + half[-1] * math.cos(a), ys[-1] + base * math.sin(a))
        for a in np.linspace(0, math.pi, 13)
    ]
    left = [(0.5 - h, y) for y, h in zip(ys, half, strict=True)]
    right = [(0.5 + h, y) for y, h in zip(ys, half, strict=True)]
    points = left + foot[::-1] + right[::-1]
    return "poly", tuple(float(v) for point in points for v in point)


def _ellipse(x: float, y: float, rx: float, ry: float) -> Primitive:
    return "ellipse", (x - rx, y - ry, x + rx, y + ry)


def _ring(x: float, y: float, rx: float, ry: float, width: float) -> Primitive:
    return "ring", (x - rx, y - ry, x + rx, y + ry, width)


def _poly(*points: Point) -> Primitive:
    return "poly", tuple(v for point in points for v in point)


_CREAM, _METAL, _FLAME, _LEAF = (238, 232, 214), (92, 92, 98), (255, 190, 60), (70, 120, 50)

SHAPES: dict[str, tuple[float, tuple[Part, ...]]] = {
    "mug": (
        1.12,
        (
            ("plain", "flat", (_ring(0.76, 0.5, 0.23, 0.27, 0.085),)),
            ("body", "cylinder", (_turned((0.08, 0.36), (1.0, 0.34)),)),
            ("shade", "flat", (_ellipse(0.5, 0.09, 0.36, 0.08),)),
        ),
    ),
    "bottle": (
        0.40,
        (
            (
                "body",
                "cylinder",
                (
                    _turned(
                        (0.05, 0.17), (0.28, 0.17), (0.36, 0.30), (0.44, 0.48), (1.0, 0.48), base=0.03
                    ),
                ),
            ),
            (_METAL, "cylinder", (_poly((0.29, 0.0), (0.71, 0.0), (0.71, 0.09), (0.29, 0.09)),)),
        ),
    ),
    "vase": (
        0.62,
        (
            (
                "body",
                "cylinder",
                (
                    _turned(
                        (0.04, 0.36), (0.10, 0.24), (0.24, 0.16), (0.36, 0.30), (0.56, 0.50),
                        (0.70, 0.48), (0.90, 0.28), (1.0, 0.30), base=0.03,
                    ),
                ),
            ),
            ("shade", "flat", (_ellipse(0.5, 0.045, 0.34, 0.04),)),
        ),
    ),
    "bowl": (
        1.85,
        (
            (
                "body",
                "cylinder",
                (
                    _turned(
                        (0.15, 0.49), (0.45, 0.45), (0.72, 0.33), (0.88, 0.20), (1.0, 0.20), base=0.05
                    ),
                ),
            ),
            ("shade", "flat", (_ellipse(0.5, 0.16, 0.49, 0.15),)),
        ),
    ),
    "ball": (1.0, (("body", "sphere", (_ellipse(0.5, 0.5, 0.495, 0.495),)),)),
    "book": (
        0.72,
        (
            (_CREAM, "flat", (_poly((0.14, 0.10), (0.26, 0.0), (1.0, 0.0), (0.88, 0.10)),)),
            (_CREAM, "dark", (_poly((0.88, 0.10), (1.0, 0.0), (1.0, 0.88), (0.88, 1.0)),)),
            ("body", "flat", (_poly((0.1, 0.09), (0.9, 0.09), (0.9, 1.0), (0.1, 1.0)),)),
            ("shade", "flat", (_poly((0.0, 0.09), (0.15, 0.09), (0.15, 1.0), (0.0, 1.0)),)),
            (_CREAM, "flat", (_poly((0.36, 0.24), (0.74, 0.24), (0.74, 0.40), (0.36, 0.40)),)),
        ),
    ),
    "box": (
        1.12,
        (
            ("body", "light", (_poly((0.0, 0.22), (0.30, 0.0), (1.0, 0.0), (0.70, 0.22)),)),
            ("body", "dark", (_poly((0.70, 0.22), (1.0, 0.0), (1.0, 0.76), (0.70, 1.0)),)),
            ("body", "flat", (_poly((0.0, 0.22), (0.70, 0.22), (0.70, 1.0), (0.0, 1.0)),)),
        ),
    ),
    "lamp": (
        0.66,
        (
            (_METAL, "cylinder", (_poly((0.46, 0.45), (0.54, 0.45), (0.54, 0.93), (0.46, 0.93)),)),
            (_METAL, "flat", (_ellipse(0.5, 0.94, 0.30, 0.06),)),
            ("body", "glow", (_poly((0.27, 0.0), (0.73, 0.0), (1.0, 0.52), (0.0, 0.52)),)),
        ),
    ),
    "candle": (
        0.36,
        (
            (_CREAM, "flat", (_ellipse(0.5, 0.93, 0.50, 0.07),)),
            ("body", "cylinder", (_turned((0.27, 0.32), (0.95, 0.32), base=0.03),)),
            ("plain", "light", (_ellipse(0.5, 0.275, 0.32, 0.035),)),
            (_FLAME, "light", (_poly((0.5, 0.0), (0.66, 0.15), (0.5, 0.26), (0.34, 0.15)),)),
        ),
    ),
    "apple": (
        0.94,
        (
            (
                "body",
                "sphere",
                (
                    _ellipse(0.32, 0.55, 0.32, 0.37),
                    _ellipse(0.68, 0.55, 0.32, 0.37),
                    _ellipse(0.5, 0.64, 0.34, 0.35),
                ),
            ),
            ((90, 60, 30), "flat", (_poly((0.47, 0.30), (0.53, 0.30), (0.57, 0.03), (0.50, 0.03)),)),
            (_LEAF, "flat", (_poly((0.54, 0.16), (0.70, 0.0), (0.90, 0.06), (0.74, 0.19)),)),
        ),
    ),
    "clock": (
        0.95,
        (
            ("shade", "flat", (_poly((0.14, 1.0), (0.28, 0.74), (0.40, 0.80), (0.24, 1.0)),)),
            ("shade", "flat", (_poly((0.86, 1.0), (0.72, 0.74), (0.60, 0.80), (0.76, 1.0)),)),
            ("plain", "cylinder", (_ellipse(0.26, 0.10, 0.15, 0.10), _ellipse(0.74, 0.10, 0.15, 0.10))),
            ("body", "flat", (_ellipse(0.5, 0.52, 0.48, 0.44),)),
            (_CREAM, "flat", (_ellipse(0.5, 0.52, 0.28, 0.26),)),
            (
                (30, 30, 34),
                "flat",
                (
                    _poly((0.47, 0.54), (0.47, 0.32), (0.53, 0.32), (0.53, 0.54)),
                    _poly((0.48, 0.50), (0.66, 0.58), (0.64, 0.64), (0.47, 0.56)),
                ),
            ),
        ),
    ),
    "teapot": (
        1.45,
        (
            ("plain", "flat", (_ring(0.17, 0.58, 0.17, 0.24, 0.06),)),
            ("plain", "flat", (_poly((0.66, 0.66), (0.90, 0.30), (1.0, 0.30), (0.97, 0.42), (0.76, 0.86)),)),
            ("body", "sphere", (_ellipse(0.47, 0.63, 0.31, 0.365),)),
            ("shade", "flat", (_ellipse(0.47, 0.28, 0.17, 0.07),)),
            ("plain", "light", (_ellipse(0.47, 0.22, 0.15, 0.08), _ellipse(0.47, 0.09, 0.055, 0.085))),
        ),
    ),
    "hat": (
        1.75,
        (
            ("plain", "flat", (_ellipse(0.5, 0.80, 0.50, 0.19),)),
            ("body", "cylinder", (_turned((0.0, 0.17), (0.08, 0.26), (0.90, 0.30), base=0.07),)),
            ("shade", "flat", (_poly((0.21, 0.62), (0.79, 0.62), (0.80, 0.80), (0.20, 0.80)),)),
        ),
    ),
    "bucket": (
        0.86,
        (
            (_METAL, "flat", (_ring(0.5, 0.34, 0.44, 0.34, 0.035),)),
            ("body", "cylinder", (_turned((0.34, 0.49), (1.0, 0.33), base=0.05),)),
            ("shade", "flat", (_ellipse(0.5, 0.345, 0.49, 0.09),)),
        ),
    ),
}  # fmt: skip
"""Kind -> (width / height, parts from back to front)."""

_SIDE = 256


@cache
def mask(kind: str, part: int, mirrored: bool) -> Image.Image:
    """Returns the part's mask, 8 bits, 256 x 256 pixels; to be scaled to the object's size."""
    image = Image.new("L", (_SIDE, _SIDE))
    draw = ImageDraw.Draw(image)
    for name, values in SHAPES[kind][1][part][2]:
        scaled = [v * _SIDE for v in values]
        if name == "poly":
            draw.polygon(scaled, fill=255)
        elif name == "ellipse":
            draw.ellipse(scaled, fill=255)
        else:
            # A ring that is cut open in a tile of another aspect keeps its width in x.
            draw.ellipse(scaled[:4], outline=255, width=round(scaled[4]))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image
