"""The `images` section: which images are accepted, and how they are sent to the models."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.settings.ranges import Amount, Count, Positive, Quality


@dataclass(frozen=True)
class ImagesConfig:
    """Which images are accepted, and how they are sent to the models."""

    max_bytes: Positive = 100_000_000
    max_pixels: Positive = 100_000_000
    min_side: Positive = 16
    max_side: Positive = 1024
    """Longest side, in pixels, of a decoded image and of what is sent; set it to what the model
    uses."""
    crop_side: Positive = 448
    """Longest side, in pixels, of a region's crop."""
    crop_margin: Amount = 0.15
    """Context added on each side of a crop, as a fraction of the box's side."""
    jpeg_quality: Quality = 90
    cache_bytes: Count = 400_000_000
    """Memory for decoded images, so that later stages do not decode again."""
