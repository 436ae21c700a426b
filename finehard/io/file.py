"""A file in a listing."""

from __future__ import annotations

from typing import NamedTuple


class File(NamedTuple):
    """A file and its size in bytes."""

    uri: str
    size: int
