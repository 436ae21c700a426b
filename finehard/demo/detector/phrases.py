"""Phrases to train the detector with: full and partial descriptions, near misses, the setting.

Partial descriptions ("a mug", "a red object") teach words instead of pairs. Held-out pairs never
occur.
"""

from __future__ import annotations

import numpy as np

from finehard.article import with_article
from finehard.demo.texts import COUNT_WORDS
from finehard.demo.world import (
    COLORS,
    HELD_OUT,
    KINDS,
    PATTERNS,
    SURFACES,
    WALLS,
    Scene,
    Thing,
)

Spec = tuple[str | None, str | None, str | None]
"""(color, pattern, kind); None matches any."""

SETTING = (
    *(f"a {s} table" for s in SURFACES),
    *(f"a {w} wall" for w in WALLS),
    *(f"{n.lower()} objects" for n in COUNT_WORDS),
    "the table", "the wall", "the light", "the left", "the right", "the middle", "soft shadows",
    "shadows", "one object", "one side", "the other",
)  # fmt: skip
"""Phrases of captions that name no object: the detector must return no box for them."""


def phrase(spec: Spec, rng: np.random.Generator) -> str:
    """Returns `spec` in words: "a red mug", sometimes with "the" or without an article."""
    color, pattern, kind = spec
    words = " ".join(w for w in (color, pattern, kind or "object") if w)
    draw = rng.random()
    return words if draw < 0.15 else f"the {words}" if draw < 0.25 else with_article(words)


def matches(spec: Spec, thing: Thing) -> bool:
    """Returns whether `spec` is true of `thing`."""
    actual = (thing.color, thing.pattern, thing.kind)
    return all(word is None or word == own for word, own in zip(spec, actual, strict=True))


def draw_specs(scenes: list[Scene], count: int, rng: np.random.Generator) -> list[Spec | None]:
    """Returns random specs for a batch of `scenes`; None stands for a phrase of `SETTING`."""
    things = [t for s in scenes for t in s.things]
    specs: list[Spec | None] = [None] * (count // 8)
    while len(specs) < count:
        thing = things[rng.integers(len(things))]
        color, pattern, kind = thing.color, thing.pattern, thing.kind
        if rng.random() < 0.3:
            draw = rng.random()
            if draw < 0.4:
                color = COLORS[rng.integers(len(COLORS))]
            elif draw < 0.7:
                pattern = PATTERNS[rng.integers(len(PATTERNS))]
            else:
                kind = KINDS[rng.integers(len(KINDS))]
        if (color, kind) in HELD_OUT:
            continue
        drop = rng.random(3) < (0.15, 0.2, 0.1)
        specs.append(
            (
                None if drop[0] else color,
                None if drop[1] or pattern == "plain" else pattern,
                None if drop[2] else kind,
            )
        )
    return specs
