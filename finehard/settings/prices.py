"""The `prices` section: what tokens and GPUs cost, and what an average image holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from finehard.settings.ranges import Amount, Count, Positive


@dataclass(frozen=True)
class PriceConfig:
    """What one model's tokens cost. Speeds are tokens per second of one GPU under full load."""

    prompt_per_million: Amount = 0.0
    completion_per_million: Amount = 0.0
    prompt_tokens_per_s: Amount = 0.0
    completion_tokens_per_s: Amount = 0.0


@dataclass(frozen=True)
class PricesConfig:
    """The price table, and what an average image is expected to hold."""

    currency: str = "USD"
    gpu_hour: Amount = 0.0
    """Price of one hour of one GPU."""
    gpus: Count = 1
    """GPUs at work at once, for the wall-clock estimate."""
    models: dict[str, PriceConfig] = field(default_factory=dict)
    """By the names under `models`."""
    regions_per_image: Amount = 4.0
    image_token_side: Positive = 32
    """Pixels on a side of what becomes one image token: 32 in Qwen3-VL (patches of 16 px, merged
    2 x 2), 28 in Qwen2-VL and Qwen2.5-VL."""
    detector_images_per_s: Amount = 0.0
    """Images per second of one GPU."""
