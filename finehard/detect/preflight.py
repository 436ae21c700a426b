"""Checks before a build starts that the configured detector can be loaded."""

from __future__ import annotations

from finehard.detect.config import BACKENDS, DetectConfig
from finehard.detect.detector import find_backend
from finehard.detect.loading import check_model, find_device, require


def check_detector(config: DetectConfig) -> None:
    """Imports the detector's packages, and checks its device and local model; loads no weights.

    Hub names are not looked up. A user's module is only imported. Raises `FinehardError` naming
    the config key.
    """
    find_backend(config)
    if config.backend not in BACKENDS:
        return
    require("transformers", "detect", "detect.backend")
    find_device(config)
    if config.backend == "yolo_world":
        from finehard.detect.yolo_world import check_weights

        check_weights(config)
        check_model(config.text_model, "detect.text_model")
    else:
        check_model(config.model, "detect.model")
