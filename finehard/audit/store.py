"""The audit's figures beside the dataset they are of: audit.json."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from finehard.dataset.layout import MANIFEST
from finehard.errors import FinehardError
from finehard.io import storage

AUDIT = "audit.json"


def keep(path: str, found: dict[str, Any]) -> None:
    """Writes `found` into the dataset at `path`, with the SHA-256 of the manifest it is of.

    Nothing is written where `path` is a file, or no finished dataset. Raises `FinehardError`
    where the dataset cannot be written to.
    """
    uri = storage.local(path)
    manifest = storage.join(uri, MANIFEST)
    if path.endswith((".json", ".jsonl")) or not storage.exists(manifest):
        return
    kept = {"manifest_sha256": _sha256(manifest), **found}
    try:
        storage.write(storage.join(uri, AUDIT), json.dumps(kept, indent=1).encode())
    except OSError as error:
        raise FinehardError(
            f"{storage.join(uri, AUDIT)} cannot be written ({error}); --json prints the figures"
        ) from None


def kept_audit(dataset: str) -> dict[str, Any] | None:
    """The figures that `keep` left in the folder or URI `dataset`; None where there are none, or
    where the dataset was built anew since."""
    try:
        found = json.loads(storage.read_all(storage.join(dataset, AUDIT)))
        same = found["manifest_sha256"] == _sha256(storage.join(dataset, MANIFEST))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same else None


def _sha256(uri: str) -> str:
    return hashlib.sha256(storage.read_all(uri)).hexdigest()
