"""Word lists written as text."""

from __future__ import annotations


def listed(text: str) -> frozenset[str]:
    """Returns the words of `text`."""
    return frozenset(text.split())
