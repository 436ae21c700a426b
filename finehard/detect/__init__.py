"""Open-vocabulary detection: images and phrases in, boxes out.

detector = load_detector(DetectConfig(backend="owlv2", model="path/or/hub-name"))
raw = detector.detect(images, phrases)              # the model's answer, kept in the journal
boxes, dropped = select(raw[0], config, width, height)   # cheap, and may change later
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

from PIL import Image

from finehard.detect.boxes import RULES, Detection, check, select
from finehard.detect.config import DetectConfig
from finehard.detect.identity import detector_identity
from finehard.errors import FinehardError, UsageError

__all__ = [
    "RULES",
    "DetectConfig",
    "Detection",
    "Detector",
    "detector_identity",
    "load_detector",
    "select",
]


class Detector(Protocol):
    """Finds phrases in images."""

    identity: dict[str, Any]
    """What changes its answers, JSON-ready."""

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """For each image (RGB, upright) the boxes of its own phrases, best first.

        The same image and phrases give the same detections whatever else is in the call.
        """
        ...


class CheckedDetector:
    """A detector from the config's module:function, its answers checked and tidied."""

    def __init__(self, detector: Detector, config: DetectConfig) -> None:
        self._detector = detector
        self._config = config
        self.identity = {**detector_identity(config), **detector.identity}

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """As in Detector. Raises FinehardError where the answer is malformed."""
        answer: Sequence[Sequence[Detection]] = self._detector.detect(images, phrases)
        try:
            if len(answer) != len(images):
                raise ValueError(f"{len(answer)} lists for {len(images)} images")
            return [
                check(found, len(asked), self._config)
                for found, asked in zip(answer, phrases, strict=True)
            ]
        except (ValueError, TypeError) as error:
            raise FinehardError(
                f"detect.backend: {self._config.backend} returned a malformed answer: {error}."
            ) from error


def _load_custom(config: DetectConfig) -> Detector:
    module, _, function = config.backend.partition(":")
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"detect.backend: {config.backend!r} cannot be imported ({error}); "
            "give it as module:function, with the module on the Python path."
        ) from error
    return CheckedDetector(make(config), config)


def load_detector(config: DetectConfig) -> Detector:
    """The configured detector, its model loaded.

    Raises FinehardError when a package or the model is missing, naming the config key.
    """
    if ":" in config.backend:
        return _load_custom(config)
    if config.backend == "yolo_world":
        from finehard.detect.yolo_world import load_yolo_world

        return load_yolo_world(config)
    if config.backend == "grounding_dino":
        from finehard.detect.grounding_dino import load_grounding_dino

        return load_grounding_dino(config)
    from finehard.detect.owl import load_owl

    return load_owl(config)
