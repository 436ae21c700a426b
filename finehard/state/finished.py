"""Tells whether a dataset is finished: built from the same input with the same settings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from finehard.dataset.layout import INDEX, JOURNAL, MANIFEST, SIZES
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.rejects import MAY_PASS
from finehard.sources.identity import State, file_state


def save_finished(output: str, settings: str, source: str) -> None:
    """Saves that `output` is finished, with digests of its settings and its input."""
    saved = {"settings": settings, "input": source, **_files(output)}
    storage.write(_uri(output), json.dumps(saved, indent=1).encode())


def finished_manifest(output: str, settings: str, source: str) -> dict[str, Any] | None:
    """Returns the manifest of `output` if it is finished with these settings and this input, and
    no file was written since.

    None where inputs were rejected for reasons that may pass: these are tried again.
    """
    try:
        saved = json.loads(storage.read_all(_uri(output)))
        if (saved["settings"], saved["input"]) != (settings, source):
            return None
        if {"settings": settings, "input": source, **_files(output)} != saved:
            return None
        manifest: dict[str, Any] = json.loads(storage.read_all(storage.join(output, MANIFEST)))
        return None if MAY_PASS & manifest["rejects"].keys() else manifest
    except (OSError, ValueError, KeyError, TypeError, FinehardError):
        return None


def _uri(output: str) -> str:
    return storage.join(output, JOURNAL, "finished.json")


def _files(output: str) -> dict[str, Any]:
    """Returns a digest of the manifest, and the states of the other files by name."""
    manifest = storage.read_all(storage.join(output, MANIFEST))
    folders = [storage.join(output, name) for name in ("shards", "rejected")]
    listed = [file for folder in folders for file in storage.glob(folder, "")]
    named = {file.uri[len(output) :]: _state(file.uri, file.size) for file in listed}
    named |= {name: file_state(storage.join(output, name)) for name in (INDEX, SIZES)}
    return {"manifest": hashlib.sha256(manifest).hexdigest(), "files": named}


def _state(uri: str, size: int) -> State:
    """Returns the state of a local file, the size of a remote one, which costs no request."""
    return [size] if storage.is_remote(uri) else file_state(uri)
