"""Renders still-life scenes with their exact truth; the same seed gives the same bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finehard.demo.shapes import SHAPES, mask
from finehard.demo.world import (
    COLORS,
    HELD_OUT,
    KINDS,
    PATTERNS,
    SIZES,
    SURFACES,
    WALLS,
    Scene,
    Thing,
)

Floats = NDArray[np.float32]

AREA_SIDE = 256
"""Scenes have the area of a square of this side, in pixels, so that sizes can be judged."""
_SIZE = {"small": 0.155, "medium": 0.215, "large": 0.3}
"""Square root of an object's area, as a fraction of `AREA_SIDE`; +-7 % in a scene."""
_MIN_VISIBLE = 0.6

RGB: dict[str, tuple[int, int, int]] = {
    "red": (205, 32, 38), "orange": (240, 130, 24), "yellow": (240, 210, 40),
    "green": (40, 145, 62), "blue": (38, 84, 190), "purple": (125, 52, 160),
    "pink": (242, 140, 178), "brown": (112, 68, 38), "black": (34, 34, 38),
    "white": (240, 240, 238), "gray": (136, 138, 142),
}  # fmt: skip
_WALL = {
    "blue": (150, 176, 204), "green": (160, 190, 160), "beige": (214, 200, 172),
    "gray": (176, 178, 182), "pink": (216, 186, 186),
}  # fmt: skip
_SURFACE = {
    "wooden": (176, 128, 84), "stone": (150, 150, 146), "white": (222, 220, 214),
    "dark": (98, 86, 80),
}  # fmt: skip


@cache
def _noise_bank() -> Floats:
    """Returns Gaussian noise, (1024, 1024); a window of it is faster than new noise."""
    return np.random.default_rng(7).normal(size=(1024, 1024)).astype(np.float32)


def _noise(rng: np.random.Generator, height: int, width: int) -> Floats:
    y, x = (int(rng.integers(0, 1024 - n)) for n in (height, width))
    return _noise_bank()[y : y + height, x : x + width]


def _smooth_noise(
    rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]
) -> Floats:
    """Returns noise of `cells` (rows, columns) stretched over the picture, about -1 to 1."""
    small = rng.normal(size=cells).astype(np.float32)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _background(
    rng: np.random.Generator, width: int, height: int, horizon: int, surface: str, wall: str
) -> Floats:
    """Returns the wall above `horizon` and the table below: (height, width, 3), 0 to 255."""
    canvas = np.empty((height, width, 3), np.float32)
    tone = np.asarray(_WALL[wall], np.float32) * rng.uniform(0.92, 1.06)
    light = 1 + 0.05 * _smooth_noise(rng, horizon, width, (3, 4))
    style = rng.integers(0, 4)
    if style == 1:  # wallpaper with faint stripes
        period = rng.uniform(14, 30)
        light = light + 0.035 * np.sign(np.sin(np.arange(width) * 2 * math.pi / period))[None, :]
    elif style == 2:  # tiles
        side = int(rng.integers(28, 48))
        light = light * np.where(np.arange(width) % side < 1.5, 0.9, 1)[None, :]
        light = light * np.where(np.arange(horizon) % side < 1.5, 0.9, 1)[:, None]
    elif style == 3:  # plaster
        light = light + 0.03 * _smooth_noise(rng, horizon, width, (horizon // 4, width // 4))
    canvas[:horizon] = light[:, :, None] * tone
    tone = np.asarray(_SURFACE[surface], np.float32) * rng.uniform(0.94, 1.06)
    depth = height - horizon
    grain = 0.04 * _smooth_noise(rng, depth, width, (3, 3))
    if surface == "wooden":
        grain = grain + 0.09 * _smooth_noise(rng, depth, width, (depth // 2, 4))
        board = int(rng.integers(22, 40))
        grain = grain - 0.16 * (np.arange(depth) % board < 1.5)[:, None]
    elif surface == "stone":
        grain = grain + 0.07 * _noise(rng, depth, width)
        grain = grain + 0.07 * _smooth_noise(rng, depth, width, (depth // 5, width // 5))
    elif surface == "white":
        cell = int(rng.integers(10, 16))
        cloth = ((np.arange(depth) // cell % 2)[:, None] + (np.arange(width) // cell % 2)[None]) / 2
        grain = grain - 0.05 * cloth
    else:
        grain = grain + 0.05 * _smooth_noise(rng, depth, width, (3, width // 3))
    ramp = np.linspace(0.86, 1.06, depth, dtype=np.float32)[:, None]
    canvas[horizon:] = ((1 + grain) * ramp)[:, :, None] * tone
    canvas[horizon : horizon + 2] *= 0.8
    return canvas


def _pattern(name: str, width: int, height: int, curved: bool) -> Floats | None:
    """Returns the opacity of the second color, (height, width), 0 to 1; None for a plain object."""
    if name == "plain":
        return None
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = (x + 0.5) / width * 2 - 1
    if curved:  # bands sag towards the viewer on round objects
        y = y - 0.07 * width * np.sqrt(np.clip(1 - across**2, 0, 1))
    step = max(7.0, math.sqrt(width * height) / 4.5)
    if name == "striped":
        wave = np.sin(y * 2 * math.pi / step)
        return np.clip(wave * step / 3 + 0.3, 0, 1)
    if name == "checkered":
        wave = np.sin(x * math.pi / (step * 0.62)) * np.sin(y * math.pi / (step * 0.62))
        return np.clip(wave * step / 2.4 + 0.5, 0, 1)
    row = np.floor(y / step)
    dx = (x + (row % 2) * step / 2) % step - step / 2
    dy = y % step - step / 2
    return np.clip(step * 0.30 - np.sqrt(dx * dx + dy * dy) + 0.5, 0, 1)


def _shading(name: str, width: int, height: int, side: float) -> Floats:
    """Returns brightness factors, (height, width). `side`: -1, light from the left; 1, right."""
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1)[None, :] * side
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1)[:, None]
    if name == "cylinder":
        shade = (
            0.62
            + 0.45 * np.clip(np.cos((x - 0.35) * 1.5), 0, 1)
            + 0.22 * np.exp(-(((x - 0.5) / 0.13) ** 2))
        )
        return np.broadcast_to(shade, (height, width)).astype(np.float32)
    if name == "sphere":
        r2 = (x - 0.3) ** 2 + (y + 0.35) ** 2
        return (1.12 - 0.26 * r2 + 0.4 * np.exp(-r2 / 0.03)).astype(np.float32)
    if name == "glow":
        return (1.12 - 0.2 * np.abs(x) - 0.08 * y).astype(np.float32)
    level = {"flat": 1.0, "light": 1.13, "dark": 0.72}[name]
    return np.broadcast_to(level + 0.06 * x - 0.05 * y, (height, width)).astype(np.float32)


@dataclass(frozen=True)
class _Placement:
    kind: str
    color: str
    pattern: str
    size: str
    left: int
    top: int
    width: int
    height: int


def _object_tile(
    rng: np.random.Generator, placement: _Placement, side: float
) -> tuple[Floats, Floats]:
    """Returns colors (height, width, 3), 0 to 255, and opacity (height, width), 0 to 1."""
    kind, color, width, height = placement.kind, placement.color, placement.width, placement.height
    base = np.asarray(RGB[color], np.float32) * rng.uniform(0.93, 1.05)
    base = base + rng.normal(0, 5, 3).astype(np.float32)
    second = np.asarray((246, 243, 232), np.float32)
    if color in ("white", "yellow", "pink"):
        second = np.asarray((62, 66, 88), np.float32)
    tile = np.zeros((height, width, 3), np.float32)
    alpha = np.zeros((height, width), np.float32)
    mirrored = bool(rng.random() < 0.5)
    for index, (paint, shading, _) in enumerate(SHAPES[kind][1]):
        scaled = mask(kind, index, mirrored).resize((width, height), Image.Resampling.BOX)
        cover = np.asarray(scaled, np.float32) / 255
        shade = _shading(shading, width, height, side)[:, :, None]
        if isinstance(paint, tuple):
            colors = np.asarray(paint, np.float32) * shade
        elif paint == "shade":
            colors = (base * 0.62 + 8) * shade
        else:
            colors = base * shade
            second_cover = _pattern(
                placement.pattern, width, height, shading in ("cylinder", "sphere")
            )
            if paint == "body" and second_cover is not None:
                mix = second_cover[:, :, None]
                colors = colors * (1 - mix) + second * shade * mix
        tile += (colors - tile) * cover[:, :, None]
        alpha = np.maximum(alpha, cover)
    return tile, alpha


def _plan(
    rng: np.random.Generator, width: int, height: int, horizon: int, held_out: bool
) -> list[_Placement]:
    """Returns up to 8 objects on the table that hide little of each other, back to front."""
    count = int(rng.choice(8, p=(0.06, 0.12, 0.18, 0.19, 0.16, 0.13, 0.09, 0.07))) + 1
    placements: list[_Placement] = []
    for _ in range(count):
        kind = KINDS[rng.integers(len(KINDS))]
        color = COLORS[rng.integers(len(COLORS))]
        taken = any((p.kind, p.color) == (kind, color) for p in placements)
        if taken or (not held_out and (color, kind) in HELD_OUT):
            continue
        pattern = PATTERNS[int(rng.choice(4, p=(0.4, 0.2, 0.2, 0.2)))]
        size = SIZES[int(rng.choice(3, p=(0.33, 0.37, 0.30)))]
        aspect = SHAPES[kind][0] * math.exp(rng.uniform(-0.06, 0.06))
        side = _SIZE[size] * AREA_SIDE * rng.uniform(0.93, 1.07)
        w, h = round(side * math.sqrt(aspect)), round(side / math.sqrt(aspect))
        if w > width - 8 or h > height - 8:
            continue
        allowed = 0.28 if rng.random() < 0.35 else 0.02
        for _ in range(24):
            left = int(rng.integers(3, width - w - 2))
            bottom = int(rng.integers(max(horizon + 6, h + 3), max(horizon + 7, h + 4, height - 3)))
            if bottom > height - 3:
                continue
            placement = _Placement(kind, color, pattern, size, left, bottom - h, w, h)
            if all(_overlap(placement, p) <= allowed for p in placements):
                placements.append(placement)
                break
    return sorted(placements, key=lambda p: p.top + p.height)


def _overlap(a: _Placement, b: _Placement) -> float:
    """Returns the intersection of the boxes as a fraction of the smaller one."""
    w = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    h = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    return max(0, w) * max(0, h) / min(a.width * a.height, b.width * b.height)


def _shadow(canvas: Floats, placement: _Placement, side: float) -> None:
    """Darkens the table under the object and beside it, away from the light."""
    height, width = canvas.shape[:2]
    bottom, centre = placement.top + placement.height, placement.left + placement.width / 2
    rx, ry = placement.width * 0.75, max(3.0, placement.width * 0.17)
    cx, cy = centre - side * placement.width * 0.28, bottom - ry * 0.45
    x1, x2 = max(0, int(cx - 1.6 * rx)), min(width, int(cx + 1.6 * rx))
    y1, y2 = max(0, int(cy - 1.8 * ry)), min(height, int(cy + 1.8 * ry))
    x = ((np.arange(x1, x2, dtype=np.float32) - cx) / rx)[None, :]
    y = ((np.arange(y1, y2, dtype=np.float32) - cy) / ry)[:, None]
    canvas[y1:y2, x1:x2] *= (1 - 0.5 * np.exp(-1.6 * (x * x + y * y) ** 1.5))[:, :, None]


def render(seed: int, index: int, held_out: bool = True) -> tuple[Image.Image, Scene]:
    """Returns scene `index` of `seed`: its picture (RGB) and its truth. Deterministic."""
    attempt = 0
    while True:
        rendered = _render(np.random.default_rng((seed, index, attempt)), held_out)
        if rendered is not None:
            return rendered
        attempt += 1


def _render(rng: np.random.Generator, held_out: bool) -> tuple[Image.Image, Scene] | None:
    ratio = math.exp(rng.uniform(-math.log(2), math.log(2)))
    width, height = round(AREA_SIDE * math.sqrt(ratio)), round(AREA_SIDE / math.sqrt(ratio))
    horizon = round(height * rng.uniform(0.26, 0.46))
    surface, wall = SURFACES[rng.integers(len(SURFACES))], WALLS[rng.integers(len(WALLS))]
    side = -1.0 if rng.random() < 0.5 else 1.0
    placements = _plan(rng, width, height, horizon, held_out)
    canvas = _background(rng, width, height, horizon, surface, wall)
    owner = np.full((height, width), -1, np.int8)
    areas = []
    for number, placement in enumerate(placements):
        _shadow(canvas, placement, side)
        tile, alpha = _object_tile(rng, placement, side)
        rows = slice(placement.top, placement.top + placement.height)
        columns = slice(placement.left, placement.left + placement.width)
        canvas[rows, columns] += (tile - canvas[rows, columns]) * alpha[:, :, None]
        solid = alpha > 0.5
        owner[rows, columns][solid] = number
        areas.append(int(solid.sum()))
    things = []
    for number, placement in enumerate(placements):
        own = owner == number
        visible = int(own.sum()) / max(1, areas[number])
        if visible < _MIN_VISIBLE:
            return None
        x, y = np.flatnonzero(own.any(0)), np.flatnonzero(own.any(1))
        box = (int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1)
        p = placement
        things.append(Thing(p.kind, p.color, p.pattern, p.size, box, visible))
    if not things:
        return None
    slope = (
        np.linspace(1.07, 0.90, width, dtype=np.float32)
        if side < 0
        else np.linspace(0.90, 1.07, width, dtype=np.float32)
    )
    canvas *= slope[None, :, None]
    grain = _noise(rng, height, width) * rng.uniform(0.8, 4.0)
    canvas += grain[:, :, None]
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    order = sorted(range(len(things)), key=lambda i: (things[i].box[0] + things[i].box[2], i))
    ordered = tuple(things[i] for i in order)
    relations = tuple(_relations(ordered, [placements[i] for i in order]))
    light = "left" if side < 0 else "right"
    return image, Scene(width, height, ordered, surface, wall, light, relations)


def _relations(
    things: tuple[Thing, ...], placements: list[_Placement]
) -> Iterator[tuple[int, str, int]]:
    """Yields (subject, relation, object): neighbours from left to right, and occlusions."""
    for i in range(len(things) - 1):
        yield i, "left of", i + 1
    for i, a in enumerate(placements):
        for j, b in enumerate(placements):
            if a.top + a.height > b.top + b.height and _overlap(a, b) > 0.05:
                yield i, "in front of", j


def encode(image: Image.Image, seed: int, index: int) -> bytes:
    """Returns the picture as JPEG bytes, with a random quality from 72 to 95."""
    quality = int(np.random.default_rng((seed, index, 1 << 20)).integers(72, 96))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
