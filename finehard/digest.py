"""Stable hashes: of JSON values, of strings, and of model files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import orjson

_MODEL_FILES = (".safetensors", ".json", ".txt", ".pt", ".yaml")


def digest(value: Any, size: int = 16) -> str:
    """Returns the hex BLAKE2b of `value` as canonical JSON, `size` bytes long."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def json_digest(value: Any) -> str:
    """As `digest`, of text too that is not valid Unicode, such as the names of files."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def number(text: str) -> int:
    """Returns a uniformly distributed 64-bit hash of `text`."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def folder_revision(path: str) -> str | None:
    """Returns a fast content hash of a local model folder or file, or None if there is none.

    Of each file it reads the size and the first and last MiB, which differ between two trainings.
    """
    if os.path.isfile(path):
        files = [path]
    elif os.path.isdir(path):
        names = sorted(os.listdir(path))
        files = [f for f in (os.path.join(path, n) for n in names) if os.path.isfile(f)]
    else:
        return None
    blake2b = hashlib.blake2b(digest_size=12)
    for file in files:
        size = os.path.getsize(file)
        blake2b.update(f"{os.path.basename(file)} {size} ".encode())
        with open(file, "rb") as opened:
            blake2b.update(opened.read(1 << 20))
            if size > 2 << 20:
                opened.seek(-(1 << 20), os.SEEK_END)
                blake2b.update(opened.read())
    return "content-" + blake2b.hexdigest()


def source_hash(folder: Path) -> str:
    """Returns a hash of all Python files below `folder`: their names and bytes."""
    blake2b = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.rglob("*.py")):
        data = file.read_bytes()
        blake2b.update(f"{file.relative_to(folder)} {len(data)}\n".encode() + data)
    return blake2b.hexdigest()


def content_hash(path: Path) -> str:
    """Returns the SHA-256 of a model file, or of the model files in a folder: names and all bytes.

    Detectors are recorded by this hash, language models by `folder_revision`. Both are stored in
    journals, so neither can replace the other.
    """
    files = [path] if path.is_file() else sorted(path.iterdir())
    sha256 = hashlib.sha256()
    for file in files:
        if file.is_file() and file.suffix in _MODEL_FILES:
            with file.open("rb") as opened:
                inner = hashlib.file_digest(opened, "sha256").hexdigest()
            sha256.update(f"{file.name} {inner}\n".encode())
    return sha256.hexdigest()
