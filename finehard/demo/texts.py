"""The ideal answer to each prompt about a scene: training texts of the demo models."""

from __future__ import annotations

from typing import Any

import numpy as np

from finehard.article import with_article
from finehard.demo.world import COLORS, KINDS, PATTERNS, Scene, Thing

COUNT_WORDS = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")
PLACE = {"left": " on the left", "middle": " in the middle", "right": " on the right"}
SIZE_TAIL = {"small": ", quite small,", "medium": "", "large": ", quite large,"}

_STEPS = (1, 3, 5, 8)
"""Cyclic steps along COLORS. Over all colors each step yields every color once, so no color is more
frequent as a replacement than in positives, and no word gives a negative away."""


def noun_phrase(color: str, pattern: str, kind: str) -> str:
    """Returns a noun phrase without an article: "red striped mug"."""
    return " ".join(w for w in (color, "" if pattern == "plain" else pattern, kind) if w)


def thing_phrase(thing: Thing) -> str:
    """Returns the object's noun phrase: "a red striped mug"."""
    return with_article(noun_phrase(thing.color, thing.pattern, thing.kind))


def listed(scene: Scene) -> list[Thing]:
    """Returns the objects in caption order: by color, pattern and kind.

    The next object follows from the last one and the image without counting, which a small model
    learns far sooner than "the fourth from the left".
    """
    order = (COLORS, PATTERNS, KINDS)

    def sort_key(thing: Thing) -> tuple[int, ...]:
        words = (thing.color, thing.pattern, thing.kind)
        return tuple(known.index(word) for known, word in zip(order, words, strict=True))

    return sorted(scene.things, key=sort_key)  # stable: equal ones remain from left to right


def short_caption(scene: Scene) -> str:
    """Returns one sentence of 10 to 25 words: the number of objects, the first and the last."""
    surface = f"on a {scene.surface} table"
    things = listed(scene)
    first = thing_phrase(things[0])
    if len(things) == 1:
        return f"{first[0].upper()}{first[1:]} stands alone {surface}."
    count = COUNT_WORDS[len(things) - 1]
    return f"{count} objects {surface}, among them {first} and {thing_phrase(things[-1])}."


def long_caption(scene: Scene) -> str:
    """Returns a caption with every object's color, pattern, size and position, and the setting."""
    count = COUNT_WORDS[len(scene.things) - 1]
    verb = "object stands" if len(scene.things) == 1 else "objects stand"
    named = ";".join(f" {listed_thing(thing, scene)}" for thing in listed(scene))
    other = "right" if scene.light == "left" else "left"
    return (
        f"{count} {verb} on a {scene.surface} table in front of a {scene.wall} wall:{named}. "
        f"The light comes from the {scene.light}, and soft shadows fall to the {other} "
        "across the table."
    )


def listed_thing(thing: Thing, scene: Scene) -> str:
    """Returns an object as the long caption names it: its phrase, size and position."""
    return f"{thing_phrase(thing)}{SIZE_TAIL[thing.size]}{PLACE[scene.position(thing)]}"


def region_caption(thing: Thing, scene: Scene) -> str:
    """Returns a caption of an object's crop: the object and the surface under it."""
    return f"{thing_phrase(thing)} on a {scene.surface} table"


def words_of(text: str) -> tuple[str, str, str] | None:
    """Returns (color, pattern, kind) of a noun phrase, or None if it has no color or kind."""
    words = text.lower().split()
    color = next((w for w in words if w in COLORS), None)
    kind = next((w for w in words if w in KINDS), None)
    if color is None or kind is None:
        return None
    return color, next((w for w in words if w in PATTERNS), "plain"), kind


def swaps(text: str, count: int) -> list[dict[str, str]]:
    """Returns `count` swaps for a noun phrase: two of its pattern, if any, then of its color."""
    words = words_of(text)
    if words is None:
        return []
    color, pattern, _ = words
    made = []
    for step in (1, 2) if pattern != "plain" else ():
        replacement = PATTERNS[1 + (PATTERNS.index(pattern) - 1 + step) % 3]
        made.append({"attribute": "pattern", "original": pattern, "replacement": replacement})
    for step in _STEPS[: count - len(made)]:
        replacement = COLORS[(COLORS.index(color) + step) % len(COLORS)]
        made.append({"attribute": "color", "original": color, "replacement": replacement})
    return made


def false_statement(thing: Thing, rng: np.random.Generator) -> str:
    """Returns the object's noun phrase with a false color (mostly), pattern or kind."""
    color, pattern, kind = thing.color, thing.pattern, thing.kind
    draw = rng.random()
    if draw < 0.5:
        color = _other(COLORS, color, rng)
    elif draw < 0.8:
        pattern = _other(PATTERNS, pattern, rng)
    else:
        kind = _other(KINDS, kind, rng)
    return with_article(noun_phrase(color, pattern, kind))


def _other(words: tuple[str, ...], word: str, rng: np.random.Generator) -> str:
    return [w for w in words if w != word][rng.integers(len(words) - 1)]


def random_phrase(rng: np.random.Generator) -> str:
    """Returns a random noun phrase, held-out pairs included, since it is text only."""
    return with_article(noun_phrase(_any(COLORS, rng), _pattern(rng), _any(KINDS, rng)))


def _any(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[rng.integers(len(words))]


def _pattern(rng: np.random.Generator) -> str:
    return PATTERNS[int(rng.choice(4, p=(0.4, 0.2, 0.2, 0.2)))]


def captions(scene: Scene) -> dict[str, Any]:
    """Returns the reply to the caption prompt."""
    return {"short_caption": short_caption(scene), "long_caption": long_caption(scene)}
