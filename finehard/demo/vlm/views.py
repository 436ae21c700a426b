"""Views of a scene as the pipeline sends them to the model: the full image, or a crop."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from finehard.demo.world import Scene, Thing
from finehard.images import ImagesConfig, cut_out, jpeg
from finehard.records import Box

IMAGES = ImagesConfig(max_side=384, crop_side=112)


class View(NamedTuple):
    """An image and the scene's objects with their boxes in it, xyxy, as fractions of its sides."""

    image: Image.Image
    parts: tuple[tuple[Thing, Box], ...]


def full_view(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> View:
    """Returns the whole scene."""
    return View(_compressed(picture, rng), _parts(scene, None))


def crop_view(picture: Image.Image, scene: Scene, thing: Thing, rng: np.random.Generator) -> View:
    """Returns the crop of `thing`, its box a little off, as a detector's is."""
    x1, y1, x2, y2 = thing.box
    shift = rng.uniform(-0.08, 0.08, 4) * (x2 - x1, y2 - y1, x2 - x1, y2 - y1)
    sides = np.asarray((scene.width, scene.height, scene.width, scene.height))
    left, top, right, bottom = np.clip((np.asarray(thing.box) + shift) / sides, 0, 1).tolist()
    box = (left, top, right, bottom)
    return View(_compressed(cut_out(picture, box, IMAGES), rng), _parts(scene, box))


def _compressed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(image, int(rng.integers(72, 96))))).convert("RGB")


def _parts(scene: Scene, box: Box | None) -> tuple[tuple[Thing, Box], ...]:
    """Returns the objects with their boxes in the crop of `box`, or in the full image if None."""
    x1, y1, x2, y2 = box or (0.0, 0.0, 1.0, 1.0)
    margin = IMAGES.crop_margin if box else 0.0
    dx, dy = (x2 - x1) * margin, (y2 - y1) * margin
    left, top = max(0.0, x1 - dx), max(0.0, y1 - dy)
    width, height = min(1.0, x2 + dx) - left, min(1.0, y2 + dy) - top
    parts = []
    for t in scene.things:
        a, b, c, d = (v / s for v, s in zip(t.box, (scene.width, scene.height) * 2, strict=True))
        parts.append(
            (t, ((a - left) / width, (b - top) / height, (c - left) / width, (d - top) / height))
        )
    return tuple(parts)
