"""Saves the audit's figures in the dataset that they are of: audit.json, beside the manifest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from finehard.dataset.layout import MANIFEST
from finehard.errors import FinehardError
from finehard.io import storage

AUDIT = "audit.json"


def save_audit(path: str, figures: dict[str, Any]) -> None:
    """Writes `figures` into the dataset at `path`, with the SHA-256 of its manifest.

    Writes nothing if `path` is a file or not a finished dataset. Raises `FinehardError` if the
    dataset cannot be written to.
    """
    uri = storage.local(path)
    manifest = storage.join(uri, MANIFEST)
    if path.endswith((".json", ".jsonl")) or not storage.exists(manifest):
        return
    saved = {"manifest_sha256": _sha256(manifest), **figures}
    try:
        storage.write(storage.join(uri, AUDIT), json.dumps(saved, indent=1).encode())
    except OSError as error:
        raise FinehardError(
            f"{storage.join(uri, AUDIT)} cannot be written ({error}); --json prints the figures"
        ) from None


def load_audit(dataset: str) -> dict[str, Any] | None:
    """The figures saved in the folder or URI `dataset`; None if there are none, or if the dataset
    was rebuilt since."""
    try:
        saved = json.loads(storage.read_all(storage.join(dataset, AUDIT)))
        current = saved["manifest_sha256"] == _sha256(storage.join(dataset, MANIFEST))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return saved if current else None


def _sha256(uri: str) -> str:
    return hashlib.sha256(storage.read_all(uri)).hexdigest()
