"""What a step takes of a sample: which boxes, which of their texts, which hard negatives."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from finehard.digest import number
from finehard.settings.ranges import Count, Share


@dataclass(frozen=True)
class SampleConfig:
    """How samples become images, boxes and texts."""

    boxes: Count = 4
    """Boxes taken of an image, at most."""
    choose: Literal["random", "first"] = "random"
    """Which boxes and hard negatives are taken where there are more."""
    negatives: Count = 10
    """Hard negatives taken of a region, at most."""
    long_expr: Share = 0.5
    """How often a region's text is its long expression instead of the short one."""
    prefix: str = "a photo of "
    """Set before every short caption (published: "a photo of ")."""
    fit: Literal["squash", "pad"] = "squash"
    reduced_decode: bool = True
    """Decode large JPEGs at a reduced scale: faster, and a little different from full scale."""


@dataclass(frozen=True)
class RegionTexts:
    """One box, normalised xyxy, with its text; `positive` is what the negatives differ from."""

    box: tuple[float, ...]
    text: str
    positive: str
    negatives: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """The texts and regions of one sample."""

    short: str
    long: str
    regions: tuple[RegionTexts, ...]


def take(sample: dict[str, Any], config: SampleConfig, rng: random.Random) -> Taken:
    """What is taken of `sample` (the JSON of the data contract); `rng` makes all choices.

    Regions and negatives that the verification found wrong are left out. Raises `ValueError`,
    `KeyError` or `TypeError` where `sample` is not as the contract says.
    """
    regions = [r for r in sample["regions"] if r.get("verified") is not False]
    regions = _some(regions, config.boxes, config, rng)
    return Taken(
        short=config.prefix + _text(sample["short_caption"]),
        long=_text(sample["long_caption"]),
        regions=tuple(_region(r, config, rng) for r in regions),
    )


def _region(region: dict[str, Any], config: SampleConfig, rng: random.Random) -> RegionTexts:
    box = tuple(float(v) for v in region["box"])
    if len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"no box: {region['box']}")
    short, long = _text(region["short_expr"]), _text(region["long_expr"])
    found = [n for n in region.get("hard_negatives", ()) if n.get("verified") is not False]
    negatives = _some([_text(n["text"]) for n in found], config.negatives, config, rng)
    use_long = rng.random() < config.long_expr and bool(long)
    return RegionTexts(box, long if use_long else short, short, tuple(negatives))


def _some(items: list[Any], most: int, config: SampleConfig, rng: random.Random) -> list[Any]:
    if config.choose == "random" and len(items) > most:
        return rng.sample(items, most)
    return items[:most]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


_WORDS = re.compile(r"\w+")
_ARTICLES = {"a", "an", "the"}


@lru_cache(100_000)
def same(text: str) -> int:
    """A 63-bit number, equal for texts that differ only in case, articles and punctuation."""
    words = [w for w in _WORDS.findall(text.casefold()) if w not in _ARTICLES]
    return number(" ".join(words)) >> 1
