"""Tells whether a dataset is finished: built from the same input with the same settings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from finehard.dataset.layout import INDEX, JOURNAL, MANIFEST, SIZES
from finehard.dataset.parts import table_names
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.rejects import MAY_PASS
from finehard.sources.identity import State, file_state


def save_finished(output: str, settings: str, source: str, removals: str = "") -> None:
    """Saves that `output` is finished, with digests of its settings, its input and what it was
    asked to leave out ("": nothing)."""
    saved = {**_made_of(settings, source, removals), **_files(output)}
    storage.write(_uri(output), json.dumps(saved, indent=1).encode())


def finished_manifest(
    output: str, settings: str, source: str, removals: str = ""
) -> dict[str, Any] | None:
    """Returns the manifest of `output` if it is finished with these settings, this input and these
    removals, and no file was written since.

    None where inputs were rejected for reasons that may pass: these are tried again.
    """
    try:
        saved = json.loads(storage.read_all(_uri(output)))
        made_of = _made_of(settings, source, removals)
        if any(saved[name] != value for name, value in made_of.items()):
            return None
        if {**made_of, **_files(output)} != saved:
            return None
        manifest: dict[str, Any] = json.loads(storage.read_all(storage.join(output, MANIFEST)))
        return None if MAY_PASS & manifest["rejects"].keys() else manifest
    except (OSError, ValueError, KeyError, TypeError, FinehardError):
        return None


def finished_with(output: str) -> tuple[str, str] | None:
    """Returns the digests of the settings and the input of `output` if it is finished and no file
    was written since; None where that is not known."""
    try:
        saved = json.loads(storage.read_all(_uri(output)))
        if any(saved[name] != value for name, value in _files(output).items()):
            return None
        return str(saved["settings"]), str(saved["input"])
    except (OSError, ValueError, KeyError, TypeError, FinehardError):
        return None


def _made_of(settings: str, source: str, removals: str) -> dict[str, str]:
    left_out = {"removals": removals} if removals else {}
    return {"settings": settings, "input": source, **left_out}


def _uri(output: str) -> str:
    return storage.join(output, JOURNAL, "finished.json")


def _files(output: str) -> dict[str, Any]:
    """Returns a digest of the manifest, and the states of the other files by name."""
    manifest = storage.read_all(storage.join(output, MANIFEST))
    folders = [storage.join(output, name) for name in ("shards", "rejected")]
    listed = [file for folder in folders for file in storage.glob(folder, "")]
    named = {file.uri[len(output) :]: _state(file.uri, file.size) for file in listed}
    tables = table_names(output, INDEX) or [INDEX]
    named |= {name: file_state(storage.join(output, name)) for name in (*tables, SIZES)}
    return {"manifest": hashlib.sha256(manifest).hexdigest(), "files": named}


def _state(uri: str, size: int) -> State:
    """Returns the state of a local file, the size of a remote one, which costs no request."""
    return [size] if storage.is_remote(uri) else file_state(uri)
