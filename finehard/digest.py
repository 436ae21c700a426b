"""Hashes that name things: a question, a stage's fingerprint, the shard of a key."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import orjson


def digest(value: Any, size: int = 16) -> str:
    """Hex BLAKE2b of `value` as canonical JSON, `size` bytes: equal values give equal digests."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def number(text: str) -> int:
    """A 64-bit number that depends on `text` only, spread evenly."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def folder_revision(path: str) -> str | None:
    """Names the content of a local model folder or file, or None when `path` is neither.

    Large files count by size, first and last MiB: enough to tell two trainings apart, and quick.
    """
    if os.path.isfile(path):
        files = [path]
    elif os.path.isdir(path):
        names = sorted(os.listdir(path))
        files = [f for f in (os.path.join(path, n) for n in names) if os.path.isfile(f)]
    else:
        return None
    seen = hashlib.blake2b(digest_size=12)
    for file in files:
        size = os.path.getsize(file)
        seen.update(f"{os.path.basename(file)} {size} ".encode())
        with open(file, "rb") as opened:
            seen.update(opened.read(1 << 20))
            if size > 2 << 20:
                opened.seek(-(1 << 20), os.SEEK_END)
                seen.update(opened.read())
    return "content-" + seen.hexdigest()
