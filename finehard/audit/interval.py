"""Wilson intervals of shares, and what they say about a leak."""

from __future__ import annotations

import math

Z = 1.96
"""95 % intervals."""
MARGIN = 0.05
"""A share that is above chance by less than this counts as balanced."""


def wilson(share: float, count: int) -> tuple[float, float]:
    """Returns the interval of a share of `count` independent items; (0, 1) without items."""
    if not count:
        return 0.0, 1.0
    middle = share + Z * Z / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    scale = 1 + Z * Z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def verdict(share: float, count: int, chance: float) -> str:
    """Returns "leaks", "balanced" or "too few to tell"."""
    low, high = wilson(share, count)
    if low > chance:
        return "leaks"
    return "balanced" if high <= chance + MARGIN else "too few to tell"
