"""Training targets: which boxes, texts and hard negatives of a sample one step uses."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, NamedTuple

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
    half_truths: Count = 0
    """False versions used of a caption, and of a region's long expression, at most
    (`half_truths` of a build). Goes with `objective.half_truth_weight`."""
    long_expr: Share = 0.5
    """How often a region's text is its long expression instead of the short one."""
    prefix: str = "a photo of "
    """Put before every short caption (published: "a photo of ")."""
    missing_caption: Literal["other", "none"] = "other"
    """Where a sample has no short or no long caption: use the other one for both losses, or train
    this image on the other loss only."""
    captions: Literal["drawn", "first"] = "drawn"
    """Whose captions are used where a sample has those of several captioners (`extra.captions`):
    one's, drawn anew for every epoch, or the first's."""
    alt_text: Share = 0.0
    """How often the short caption is the alt text of the image's source instead, without prefix,
    where there is one; drawn for every sample and epoch."""
    lowercase: bool = False
    """Put all texts in lower case, hard negatives and their true text alike. FG-CLIP 2 does, but
    for the true text, so that there the case tells them apart."""
    fit: Literal["squash", "pad"] = "squash"
    patches: Literal[128, 256, 576, 784, 1024] = 1024
    """Most patches of an image, with the SigLIP 2 backbone only."""
    reduced_decode: bool = True
    """Decode large JPEGs at a reduced scale: faster, and slightly different from full scale."""


@dataclass(frozen=True)
class RegionTexts:
    """One box, normalised xyxy, with its text; the negatives contradict `positive`, `false_long`
    the long expression `long`."""

    box: tuple[float, ...]
    text: str
    positive: str
    negatives: tuple[str, ...]
    long: str = ""
    false_long: tuple[str, ...] = ()


class Told(NamedTuple):
    """A true text of an image, and false ones."""

    true: str
    false: tuple[str, ...]


@dataclass(frozen=True)
class Targets:
    """The texts and regions of one sample, and why others of it cannot be used.

    `short` and `long` are empty where that caption is missing and no other takes its place.
    """

    short: str
    long: str
    regions: tuple[RegionTexts, ...]
    told_short: tuple[Told, ...] = ()
    """The short caption with its false versions, and others of its form."""
    told_long: tuple[Told, ...] = ()
    """The same of the long one."""
    missing: str = ""
    """Which caption there is not, and what is used instead."""
    dropped: tuple[str, ...] = ()
    """The reason for each region that cannot be used."""


_CAPTIONS = ("short_caption", "long_caption", "caption")
"""Keys of captions: two of the data contract, one of img2dataset (or the text beside an image)."""
_LONG_WORDS = 50
"""A `caption` of more words is long: it would hardly fit into CLIP's 77 tokens."""
_OUTSIDE = 1e-3
"""How far a box may be outside the image, in parts of it, through rounding; it is cut."""
_LEAST_SIDE = 1e-6
"""Least side of a box, in parts of the image: still more than 0 in float32."""


class _Readable(NamedTuple):
    box: tuple[float, ...]
    short: str
    long: str
    negatives: list[str]
    false_long: list[str]


def select(sample: dict[str, Any], config: SampleConfig, rng: random.Random) -> Targets:
    """Selects the targets of `sample` (the JSON of the data contract); `rng` makes all choices.

    Regions and negatives that verification rejected are left out. Regions that do not follow the
    contract are dropped, with a reason: a box outside 0 to 1 or without area, no text. Regions may
    be missing, and one caption or, with `missing_caption` none, both; an empty caption is missing.
    Raises `ValueError` where nothing is left to train on.
    """
    short, long, missing = _captions(_by_one_captioner(sample, config, rng), config)
    alt_text = _alt_text(sample, config, rng)
    false = _half_truths(sample) if config.half_truths else {}
    regions, dropped = [], []
    for position, region in enumerate(_regions(sample)):
        try:
            if region.get("verified") is not False:
                own = false.get(("long_expr", position), [])
                regions.append(_readable(region, [one.text for one in own]))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            reason = error if isinstance(error, _Dropped) else f"not as documented: {error!r}"
            dropped.append(f"region {position}: {reason}"[:200])
    chosen = _choose(regions, config.boxes, config, rng)
    if not (short or long or alt_text or chosen):
        raise ValueError("it has no caption (short_caption, long_caption)")
    case = str.lower if config.lowercase else str

    def told(name: str, used: str, prefix: str = "") -> tuple[Told, ...]:
        given = false.get((name, None), []) if used == sample.get(name) else []
        chosen = _choose(given, config.half_truths, config, rng)
        return tuple(
            Told(case(prefix + true), tuple(case(prefix + text) for text in texts))
            for true, texts in _pairs(used, chosen)
        )

    return Targets(
        short=case(alt_text or (config.prefix + short if short else "")),
        long=case(long),
        regions=tuple(_in_case(_region(r, config, rng), case) for r in chosen),
        told_short=() if alt_text else told("short_caption", short, config.prefix),
        told_long=told("long_caption", long),
        missing=missing,
        dropped=tuple(dropped),
    )


class _Dropped(ValueError):
    """A region cannot be used; the message says why."""


def _by_one_captioner(
    sample: dict[str, Any], config: SampleConfig, rng: random.Random
) -> dict[str, Any]:
    """Returns `sample` with the captions of one of its captioners, each equally likely. Of a sample
    without `extra.captions` nothing is drawn."""
    extra = sample.get("extra")
    rows = extra.get("captions") if isinstance(extra, dict) else None
    if config.captions == "first" or not isinstance(rows, list):
        return sample
    usable = [
        own
        for row in rows
        if isinstance(row, dict)
        and (own := {name: row[name] for name in _CAPTIONS[:2] if _is_text(row.get(name))})
    ]
    return {**sample, **rng.choice(usable)} if usable else sample


def _captions(sample: dict[str, Any], config: SampleConfig) -> tuple[str, str, str]:
    """Returns the short and the long caption, and which was replaced."""
    texts: dict[str, str] = {n: sample[n] for n in _CAPTIONS if _is_text(sample.get(n))}
    if config.missing_caption == "other":
        return _replaced(texts)
    return *_own(texts), ""


def _alt_text(sample: dict[str, Any], config: SampleConfig, rng: random.Random) -> str:
    """Returns the alt text where it takes the short caption's place, else ""."""
    alt_text = sample.get("alt_text") if config.alt_text else None
    if isinstance(alt_text, str) and alt_text.strip() and rng.random() < config.alt_text:
        return alt_text
    return ""


def _replaced(texts: dict[str, str]) -> tuple[str, str, str]:
    """Returns the short and the long caption, one for the other if it is missing, and which is."""
    if not texts:
        raise ValueError("it has no caption (short_caption, long_caption)")
    short = next(iter(texts))
    long = "long_caption" if "long_caption" in texts else short
    missing = [name for name in _CAPTIONS[:2] if name not in texts]
    told = f"no {' and no '.join(missing)}: {short} is used" if missing else ""
    return texts[short], texts[long], told


def _own(texts: dict[str, str]) -> tuple[str, str]:
    """Returns the short and the long caption, "" for one that is missing. A `caption` is one of
    them by its length, if there is no other of that kind."""
    caption = texts.get("caption", "")
    long = len(caption.split()) > _LONG_WORDS
    short_caption = texts.get("short_caption", "" if long else caption)
    return short_caption, texts.get("long_caption", caption if long else "")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _regions(sample: dict[str, Any]) -> list[Any]:
    regions = sample.get("regions")
    if regions is None:
        return []
    return regions if isinstance(regions, list) else [regions]


class _False(NamedTuple):
    text: str
    true: str | None


def _pairs(caption: str, false: Sequence[_False]) -> Iterator[tuple[str, list[str]]]:
    """Yields true texts with false ones: the caption with all, then each true text of the same form
    as a false one with that."""
    if false:
        yield caption, [one.text for one in false]
    for one in false:
        if one.true is not None:
            yield one.true, [one.text]


def _half_truths(sample: dict[str, Any]) -> dict[tuple[str, int | None], list[_False]]:
    """Returns the false versions in `extra.half_truths` that verification did not reject, by the
    name of the text and, for a long expression, the number of its region. What does not follow
    docs/hard-negatives.md is left out."""
    extra = sample.get("extra")
    rows = extra.get("half_truths") if isinstance(extra, dict) else None
    found: dict[tuple[str, int | None], list[_False]] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("verified") is False:
            continue
        of, region, text = (row.get(name) for name in ("of", "region", "text"))
        if isinstance(of, str) and isinstance(region, int | None) and _is_text(text):
            true = row.get("true") if _is_text(row.get("true")) else None
            found.setdefault((of, region), []).append(_False(str(text), true))
    return found


def _readable(region: dict[str, Any], false_long: list[str]) -> _Readable:
    box = _box(region["box"])
    short, long = region["short_expr"], region.get("long_expr")
    if not _is_text(short):
        raise _Dropped(f"its short_expr is {short!r}"[:100])
    negatives = region.get("hard_negatives") or []
    if not isinstance(negatives, list) or not all(_is_text(n["text"]) for n in negatives):
        raise _Dropped(f"its hard_negatives are {negatives!r}"[:100])
    texts = [n["text"] for n in negatives if n.get("verified") is not False]
    if not isinstance(long, str):
        long = ""
    if not long.strip():
        false_long = []
    return _Readable(box, short, long, texts, false_long)


def _box(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != 4 or any(_no_number(v) for v in values):
        raise _Dropped(f"its box is {values!r}"[:100])
    box = tuple(float(v) for v in values)
    if min(box) < -_OUTSIDE or max(box) > 1 + _OUTSIDE:
        pixels = min(box) >= 0 and max(box) > 2
        outside = "seems to be in pixels" if pixels else "is outside the image"
        raise _Dropped(f"its box {values} {outside}: boxes are parts of the image, 0 to 1"[:160])
    x1, y1, x2, y2 = (min(1.0, max(0.0, v)) for v in box)
    if x2 - x1 < _LEAST_SIDE or y2 - y1 < _LEAST_SIDE:
        raise _Dropped(f"its box {values} has no area"[:160])
    return box


def _no_number(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, (int, float))


def _region(region: _Readable, config: SampleConfig, rng: random.Random) -> RegionTexts:
    negatives = _choose(region.negatives, config.negatives, config, rng)
    use_long = rng.random() < config.long_expr and bool(region.long)
    text = region.long if use_long else region.short
    false = _choose(region.false_long, config.half_truths, config, rng)
    return RegionTexts(region.box, text, region.short, tuple(negatives), region.long, tuple(false))


def _in_case(region: RegionTexts, case: Callable[[str], str]) -> RegionTexts:
    return replace(
        region,
        text=case(region.text),
        positive=case(region.positive),
        negatives=tuple(map(case, region.negatives)),
        long=case(region.long),
        false_long=tuple(map(case, region.false_long)),
    )


def _choose(items: list[Any], most: int, config: SampleConfig, rng: random.Random) -> list[Any]:
    if config.choose == "random" and len(items) > most:
        return rng.sample(items, most)
    return items[:most]


_WORDS = re.compile(r"\w+")
_ARTICLES = {"a", "an", "the"}


def text_id(text: str) -> int:
    """Returns a 63-bit number, equal for texts that differ only in case, articles and punctuation,
    and in all processes: Python's hash of integers, unlike that of strings, has no seed."""
    return hash(tuple(chain.from_iterable(map(_numbers, text.split())))) & sys.maxsize


@lru_cache(100_000)
def _numbers(word: str) -> tuple[int, ...]:
    """Returns numbers for what counts of `word`, which has no space: nothing of an article."""
    words = _WORDS.findall(word.casefold())
    return tuple(number(w) for w in words if w not in _ARTICLES)
