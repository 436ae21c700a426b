"""Which scene, and which object of it, a picture shows: looked up by its bytes.

The simulated models know the truth of all scenes. They are shown what a build shows to models: the
pixels of an image, the image as a file, and cut-outs of the boxes that the detector can return.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from finehard.demo.world import Scene, Thing
from finehard.digest import number
from finehard.images import ImagesConfig, cut_out, decode, jpeg
from finehard.records import Box

CONFIG = ImagesConfig()
"""Builds must use it too."""
_MOVED = (0.35, 0.2)
"""How far a moved box is from its object, in parts of the object's sides: the IoU is about 0.35."""


class Place(NamedTuple):
    """Where an object is said to be: normalised xyxy, as the detect stage rounds it."""

    thing: int
    box: Box


def chance(*parts: object) -> np.random.Generator:
    """Returns random numbers that depend on `parts` only."""
    return np.random.default_rng(number("|".join(map(str, parts))))


def places(name: str, scene: Scene) -> tuple[list[Place], list[Place]]:
    """Returns the true place of each object of scene `name`, and one beside it."""
    right, moved = [], []
    for index, thing in enumerate(scene.things):
        x1, y1, x2, y2 = thing.box
        across, down = chance("moved", name, index).choice((-1, 1), 2) * _MOVED * (x2 - x1, y2 - y1)
        right.append(Place(index, _box(scene, (x1, y1, x2, y2))))
        moved.append(Place(index, _box(scene, (x1 + across, y1 + down, x2 + across, y2 + down))))
    return right, moved


def _box(scene: Scene, pixels: tuple[float, ...]) -> Box:
    x1, y1, x2, y2 = pixels
    sides = (scene.width, scene.height, scene.width, scene.height)
    parts = np.clip(np.divide((x1, y1, x2, y2), sides), 0.0, 1.0).round(4).tolist()
    return (parts[0], parts[1], parts[2], parts[3])


class World:
    """The scenes by name, and the names by what is shown of them. Written by `write_world`."""

    def __init__(self, path: str | Path) -> None:
        values = json.loads(Path(path).read_text())
        self._rows: dict[str, Any] = values["scenes"]
        self._pixels: dict[str, str] = values["pixels"]
        self._views: dict[str, tuple[str, int]] = values["views"]

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """The scenes; a name is the SHA-256 of the image file."""
        return {name: _scene(row) for name, row in self._rows.items()}

    def of_pixels(self, image: Image.Image) -> str:
        """Returns the name of the scene that a decoded image shows. Raises `KeyError`."""
        return self._pixels[_digest(image.tobytes())]

    def of_file(self, data: bytes) -> str | None:
        """Returns the name of the scene that an image file shows, or None if it is another's."""
        name = hashlib.sha256(data).hexdigest()
        return name if name in self._rows else None

    def of_view(self, data: bytes) -> tuple[str, int] | None:
        """Returns the scene and the index of the object that a cut-out shows, or None."""
        found = self._views.get(_digest(data))
        return None if found is None else (found[0], found[1])


def write_world(path: Path, scenes: Path) -> None:
    """Writes what `World` reads, of the folder that `finehard.demo.scenes` wrote."""
    lines = (scenes / "truth.jsonl").read_text().splitlines()[1:]
    rows = {row["image"]["sha256"]: row for row in map(json.loads, lines)}
    pixels: dict[str, str] = {}
    views: dict[str, tuple[str, int]] = {}
    for data in _images(scenes):
        name = hashlib.sha256(data).hexdigest()
        picture = decode(data, CONFIG).pixels
        pixels[_digest(picture.tobytes())] = name
        right, moved = places(name, _scene(rows[name]))
        for place in (*moved, *right):  # where two cut-outs are the same, a true place counts
            view = jpeg(cut_out(picture, place.box, CONFIG), CONFIG.jpeg_quality)
            views[_digest(view)] = (name, place.thing)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"scenes": rows, "pixels": pixels, "views": views}))
    temporary.rename(path)


def _images(scenes: Path) -> Iterator[bytes]:
    for path in sorted(scenes.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg") and (file := tar.extractfile(member)):
                    yield file.read()


def _scene(row: dict[str, Any]) -> Scene:
    """Returns the scene of a line of truth.jsonl (`finehard.demo.world.truth_row`)."""
    width, height = row["image"]["width"], row["image"]["height"]
    things = []
    for one in row["objects"]:
        x1, y1, x2, y2 = (
            round(v * side) for v, side in zip(one["box"], (width, height) * 2, strict=True)
        )
        has = one["attributes"]
        things.append(
            Thing(
                one["kind"], has["color"], has["pattern"] or "plain", has["size"] or "medium",
                (x1, y1, x2, y2), one["visible"],
            )
        )  # fmt: skip
    behind = row["background"]
    return Scene(
        width, height, tuple(things), behind["surface"], behind["wall"], behind["light"], ()
    )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()
