"""Loads the configured detector: a built-in backend, or a user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from PIL import Image

from finehard import registry
from finehard.detect.boxes import Detection, check
from finehard.detect.config import BACKENDS, DetectConfig
from finehard.errors import FinehardError, UsageError


class Detector(Protocol):
    """Detects phrases in images."""

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """Returns, for each image (RGB, upright), the boxes of its own phrases, best first.

        The result for an image must not depend on the other images in the call.
        """
        ...


Load = Callable[[DetectConfig], Detector]
_BUILT_IN: dict[str, Callable[[], Load]] = {
    name: partial(registry.load, target, {}, "detect.backend") for name, target in BACKENDS.items()
}


class CheckedDetector:
    """A user's detector whose output is validated and cleaned up like a built-in backend's."""

    def __init__(self, detector: Detector, config: DetectConfig) -> None:
        self._detector = detector
        self._config = config

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """Implements `Detector.detect`. Raises `FinehardError` if the output is malformed."""
        answer: Sequence[Sequence[Detection]] = self._detector.detect(images, phrases)
        try:
            if len(answer) != len(images):
                raise ValueError(f"{len(answer)} lists for {len(images)} images")
            return [
                check(detections, len(asked), self._config)
                for detections, asked in zip(answer, phrases, strict=True)
            ]
        except (ValueError, TypeError) as error:
            raise FinehardError(
                f"detect.backend: {self._config.backend} returned a malformed answer: {error}."
            ) from error


def find_backend(config: DetectConfig) -> Load:
    """Returns the function that loads the configured detector; imports its module.

    Raises `UsageError` if there is no such module or function.
    """
    load = registry.load(config.backend, _BUILT_IN, "detect.backend")
    if not callable(load):
        raise UsageError(f"detect.backend: {config.backend} is not a function")
    return load


def load_detector(config: DetectConfig) -> Detector:
    """Returns the configured detector with its weights loaded.

    Raises `FinehardError` naming the config key if a package or the model is missing.
    """
    load = find_backend(config)
    if config.backend in BACKENDS:
        return load(config)
    try:
        return CheckedDetector(load(config), config)
    except FinehardError:
        raise
    except Exception as error:  # user code can raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise FinehardError(f"detect.backend: {config.backend} failed: {line}") from error
