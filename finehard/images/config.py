"""The `images` section: which images are accepted, and how they are sent to the models."""

from __future__ import annotations

from dataclasses import dataclass

from finehard.settings.ranges import Amount, Aspect, Count, Positive, Quality


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
    sent_min_side: Positive = 32
    """Shortest side, in pixels, of what is sent: smaller images and crops are enlarged, and padded
    with grey where their other side would become too long. Qwen's servers refuse less than 28
    (Qwen2-VL, Qwen2.5-VL) or 32 (Qwen3-VL). As a limit of servers it is in no fingerprint: a
    change asks nothing again."""
    sent_max_aspect: Aspect = 100.0
    """Ratio of the longest to the shortest side of what is sent: thinner images and crops are
    padded with grey. Qwen's servers refuse 200 and more."""
    jpeg_quality: Quality = 90
    cache_bytes: Count = 400_000_000
    """Memory for decoded images, so that later stages do not decode again."""


ANY_SIDE = ImagesConfig(min_side=1)
"""For images that were accepted before: of any side, within the limits of the default settings."""
