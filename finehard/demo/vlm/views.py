"""What a question shows of a scene, as the pipeline sends it: the whole picture, or a cut-out."""

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
    """A picture and the parts of the scene in it, their boxes xyxy and normalised to it."""

    image: Image.Image
    parts: tuple[tuple[Thing, Box], ...]


def whole(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> View:
    """All of the scene."""
    return View(_as_sent(picture, rng), _parts(scene, None))


def cut(picture: Image.Image, scene: Scene, thing: Thing, rng: np.random.Generator) -> View:
    """The cut-out of a box around `thing`, which is a little off, as a detector's is."""
    x1, y1, x2, y2 = thing.box
    shift = rng.uniform(-0.08, 0.08, 4) * (x2 - x1, y2 - y1, x2 - x1, y2 - y1)
    sides = np.asarray((scene.width, scene.height, scene.width, scene.height))
    left, top, right, bottom = np.clip((np.asarray(thing.box) + shift) / sides, 0, 1).tolist()
    box = (left, top, right, bottom)
    return View(_as_sent(cut_out(picture, box, IMAGES), rng), _parts(scene, box))


def _as_sent(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(image, int(rng.integers(72, 96))))).convert("RGB")


def _parts(scene: Scene, box: Box | None) -> tuple[tuple[Thing, Box], ...]:
    """The things in the cut-out of `box`; in all of the scene where None."""
    x1, y1, x2, y2 = box or (0.0, 0.0, 1.0, 1.0)
    margin = IMAGES.crop_margin if box else 0.0
    dx, dy = (x2 - x1) * margin, (y2 - y1) * margin
    left, top = max(0.0, x1 - dx), max(0.0, y1 - dy)
    width, height = min(1.0, x2 + dx) - left, min(1.0, y2 + dy) - top
    placed = []
    for t in scene.things:
        a, b, c, d = (v / s for v, s in zip(t.box, (scene.width, scene.height) * 2, strict=True))
        placed.append(
            (t, ((a - left) / width, (b - top) / height, (c - left) / width, (d - top) / height))
        )
    return tuple(placed)
