"""What of an input was found and not read, as a line for people."""

from __future__ import annotations

from collections.abc import Mapping


def unread_line(unread: Mapping[str, int]) -> str:
    """Returns the numbers by kind, the largest first, as one line."""
    kinds = sorted(unread.items(), key=lambda item: (-item[1], item[0]))
    return "found and not read: " + ", ".join(f"{number:,} {kind}" for kind, number in kinds)
