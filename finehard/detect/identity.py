"""The detector's identity: the settings and weights that its fingerprint is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finehard.detect.config import DetectConfig
from finehard.digest import content_hash

CODE_VERSIONS = {"owlv2": 2}
"""Of backends whose code has changed its output, others have 1. 2: padding of OWLv2 is black."""


def _model_identity(name: str, key: str) -> dict[str, Any]:
    """Returns a hub name as it is; a local path as its base name and content hash."""
    path = Path(name)
    if path.exists():
        return {key: path.name, f"{key}_sha256": content_hash(path)}
    return {key: name}


def detector_identity(config: DetectConfig) -> dict[str, Any]:
    """Returns everything that changes the detector's raw output, JSON-ready; loads no model.

    A local model is identified by its content: moving it invalidates nothing, changing it
    invalidates all answers. A hub model is identified by its name and `revision`. Device, threads,
    batch size and selection are left out.
    """
    identity: dict[str, Any] = {
        "backend": config.backend,
        "code_version": CODE_VERSIONS.get(config.backend, 1),
        **_model_identity(config.model, "model"),
        "revision": config.revision,
        "dtype": config.dtype,
        "image_size": config.image_size,
        "floor": config.floor,
        "max_raw": config.max_raw,
        "raw_nms_iou": config.raw_nms_iou,
    }
    if config.backend == "yolo_world":
        identity |= _model_identity(config.text_model, "text_model")
    return identity
