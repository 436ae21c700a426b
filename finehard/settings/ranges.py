"""Types of config values with a range. A value outside it is an error that names the key."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, Lt

Positive = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
Amount = Annotated[float, Ge(0), Lt(float("inf"))]
Aspect = Annotated[float, Ge(1), Lt(float("inf"))]
"""Longest side to shortest side."""
Share = Annotated[float, Ge(0), Le(1)]
Quality = Annotated[int, Ge(1), Le(95)]
"""Of a JPEG; above 95 files only grow (Pillow's documentation)."""
