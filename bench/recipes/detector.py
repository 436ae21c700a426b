"""The simulated detector, for `detect.backend`; `detect.model` is the file of a `World`."""

from __future__ import annotations

from PIL import Image

from bench.recipes.models import detections
from bench.recipes.world import World
from finehard.detect import DetectConfig, Detection


class Detector:
    """Finds the scene by its pixels."""

    def __init__(self, world: World) -> None:
        self._world = world

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """See `finehard.detect.Detector.detect`."""
        names = [self._world.of_pixels(image) for image in images]
        return [
            detections(name, self._world.scenes[name], own)
            for name, own in zip(names, phrases, strict=True)
        ]


def load(config: DetectConfig) -> Detector:
    """For `detect.backend: bench.recipes.detector:load`."""
    return Detector(World(config.model))
