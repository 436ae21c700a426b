"""Training targets: which boxes, texts and hard negatives of a sample one step uses."""

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
    """Boxes used of an image, at most."""
    choose: Literal["random", "first"] = "random"
    """Which boxes and hard negatives are used where a sample has more."""
    negatives: Count = 10
    """Hard negatives used of a region, at most."""
    long_expr: Share = 0.5
    """How often a region's text is its long expression instead of the short one."""
    prefix: str = "a photo of "
    """Put before every short caption (published: "a photo of ")."""
    fit: Literal["squash", "pad"] = "squash"
    reduced_decode: bool = True
    """Decode large JPEGs at a reduced scale: faster, and slightly different from full scale."""


@dataclass(frozen=True)
class RegionTexts:
    """One box, normalised xyxy, with its text; the negatives contradict `positive`."""

    box: tuple[float, ...]
    text: str
    positive: str
    negatives: tuple[str, ...]


@dataclass(frozen=True)
class Targets:
    """The texts and regions of one sample."""

    short: str
    long: str
    regions: tuple[RegionTexts, ...]


def select(sample: dict[str, Any], config: SampleConfig, rng: random.Random) -> Targets:
    """Selects the targets of `sample` (the JSON of the data contract); `rng` makes all choices.

    Regions and negatives that verification rejected are left out, and regions whose box has no
    area. Raises `ValueError` where `sample` does not follow the contract.
    """
    try:
        regions = [r for r in sample["regions"] if r.get("verified") is not False]
        boxed = [(box, r) for r in regions if _has_area(box := _box(r["box"]))]
        boxed = _choose(boxed, config.boxes, config, rng)
        return Targets(
            short=config.prefix + _text(sample["short_caption"]),
            long=_text(sample["long_caption"]),
            regions=tuple(_region(box, r, config, rng) for box, r in boxed),
        )
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"not as the data contract says: {error!r}") from None


def _box(values: Any) -> tuple[float, ...]:
    box = tuple(float(v) for v in values)
    if len(box) != 4:
        raise ValueError(f"not a box: {values!r}")
    return box


def _has_area(box: tuple[float, ...]) -> bool:
    x1, y1, x2, y2 = (min(1.0, max(0.0, v)) for v in box)
    return x1 < x2 and y1 < y2


def _region(
    box: tuple[float, ...], region: dict[str, Any], config: SampleConfig, rng: random.Random
) -> RegionTexts:
    short, long = _text(region["short_expr"]), _text(region["long_expr"])
    verified = [n for n in region.get("hard_negatives", ()) if n.get("verified") is not False]
    negatives = _choose([_text(n["text"]) for n in verified], config.negatives, config, rng)
    use_long = rng.random() < config.long_expr and bool(long)
    return RegionTexts(box, long if use_long else short, short, tuple(negatives))


def _choose(items: list[Any], most: int, config: SampleConfig, rng: random.Random) -> list[Any]:
    if config.choose == "random" and len(items) > most:
        return rng.sample(items, most)
    return items[:most]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


_WORDS = re.compile(r"\w+")
_ARTICLES = {"a", "an", "the"}


@lru_cache(100_000)
def text_id(text: str) -> int:
    """Returns a 63-bit number, equal for texts that differ only in case, articles, punctuation."""
    words = [w for w in _WORDS.findall(text.casefold()) if w not in _ARTICLES]
    return number(" ".join(words)) >> 1
