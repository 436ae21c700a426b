"""The built-in detectors by name. Their modules are imported only when used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finehard.detect.config import DetectConfig
    from finehard.detect.detector import Detector

Load = Callable[["DetectConfig"], "Detector"]


def _owlv2() -> Load:
    from finehard.detect.owl import load_owl

    return load_owl


def _yolo_world() -> Load:
    from finehard.detect.yolo_world import load_yolo_world

    return load_yolo_world


def _grounding_dino() -> Load:
    from finehard.detect.grounding_dino import load_grounding_dino

    return load_grounding_dino


BACKENDS: dict[str, Callable[[], Load]] = {
    "owlv2": _owlv2,
    "yolo_world": _yolo_world,
    "grounding_dino": _grounding_dino,
}
