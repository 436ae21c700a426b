"""What a detector's answers depend on: part of the journal's fingerprint."""

import hashlib
from pathlib import Path
from typing import Any

from finehard.detect.config import DetectConfig

# Raise it when the code of a backend gives other answers than before.
CODE_VERSION = 1
_WEIGHTS = (".safetensors", ".json", ".txt", ".pt", ".yaml")


def content_hash(path: Path) -> str:
    """sha256 over the names and bytes of a model file, or of the model files in a folder."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    digest = hashlib.sha256()
    for file in files:
        if file.is_file() and file.suffix in _WEIGHTS:
            with file.open("rb") as stream:
                inner = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{file.name} {inner}\n".encode())
    return digest.hexdigest()


def _named(name: str, key: str) -> dict[str, Any]:
    """A hub name as it is; a local path by its last part and the hash of what it holds."""
    path = Path(name)
    if path.exists():
        return {key: path.name, f"{key}_sha256": content_hash(path)}
    return {key: name}


def detector_identity(config: DetectConfig) -> dict[str, Any]:
    """All that changes a detector's answers, as JSON-ready values; loads no model.

    Local models count by content, so that moving a folder asks nothing again and changing it asks
    everything again. A hub model without `revision` counts by name only: set the revision. Device,
    threads and batch size do not count, nor does the selection.
    """
    identity: dict[str, Any] = {
        "backend": config.backend,
        "code_version": CODE_VERSION,
        **_named(config.model, "model"),
        "revision": config.revision,
        "dtype": config.dtype,
        "image_size": config.image_size,
        "floor": config.floor,
        "max_raw": config.max_raw,
        "raw_nms_iou": config.raw_nms_iou,
    }
    if config.backend == "yolo_world":
        identity |= _named(config.text_model, "text_model")
    return identity
