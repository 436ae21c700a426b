"""Questions exactly as the pipeline asks them about a scene, each with the right reply."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from finehard.caption import Caption, CaptionConfig
from finehard.demo import texts
from finehard.demo.world import SURFACES, Scene, Thing
from finehard.images import ImagesConfig, cut_out, jpeg
from finehard.negatives import Negatives, NegativesConfig
from finehard.records import Box, Bytes, HardNegative, Record, Region
from finehard.regions import Regions, RegionsConfig
from finehard.verify import Verify, VerifyConfig

IMAGES = ImagesConfig(max_side=384, crop_side=112)
CAPTION = CaptionConfig(long_words=60)
NEGATIVES = NegativesConfig(ask_for=4, per_region=3)
TASKS = ("caption", "regions", "negatives", "verify")
MOST_REGIONS = 8


@dataclass(frozen=True)
class Lesson:
    """One question with its reply. `seen` holds, for each image, the parts of the scene in it:
    things and their boxes (x1, y1, x2, y2, normalised to the image)."""

    text: str
    images: tuple[Image.Image, ...]
    reply: str
    seen: tuple[tuple[tuple[Thing, Box], ...], ...]
    truth: Any = None


def lesson(
    task: str,
    picture: Image.Image,
    scene: Scene,
    rng: np.random.Generator,
    most: int = MOST_REGIONS,
) -> Lesson:
    """A lesson of `task` on a scene, with at most `most` regions.

    `truth` is the reply before it became JSON.
    """
    picture = _as_sent(picture, int(rng.integers(72, 96)))
    if task == "caption":
        ask = Caption(CAPTION).question(_record(scene, ()))
        value: Any = texts.captions(scene)
        return Lesson(ask.text, (picture,), json.dumps(value), (_seen(scene, None),), value)
    if task == "negatives":
        return _negatives(scene, rng, most)
    things = [scene.things[i] for i in rng.permutation(len(scene.things))[:most]]
    boxes = [_shaken(thing, scene, rng) for thing in things]
    crops = tuple(_as_sent(cut_out(picture, box, IMAGES), IMAGES.jpeg_quality) for box in boxes)
    seen = tuple(_seen(scene, box) for box in boxes)
    if task == "regions":
        regions = [_region(box, _heard(t, rng), "") for t, box in zip(things, boxes, strict=True)]
        value = _numbered([texts.region_caption(thing, scene) for thing in things])
        asked = Regions(RegionsConfig()).question(_record(scene, regions))
    else:
        stated = [
            _statements(thing, scene, box, rng) for thing, box in zip(things, boxes, strict=True)
        ]
        value = _numbered([answer for _, answers in stated for answer in answers])
        asked = Verify(VerifyConfig()).question(_record(scene, [region for region, _ in stated]))
    assert asked is not None
    return Lesson(asked.text, crops, json.dumps(value), seen, value)


def _negatives(scene: Scene, rng: np.random.Generator, most: int) -> Lesson:
    phrases = [texts.random_phrase(rng) for _ in range(int(rng.integers(1, most + 1)))]
    for i, phrase in enumerate(phrases):
        draw = rng.random()
        if draw < 0.15:
            phrases[i] = phrase.split(" ", 1)[1]
        elif draw < 0.18:
            phrases[i] = f"a {SURFACES[rng.integers(len(SURFACES))]} table"
    ask_for = NEGATIVES.ask_for
    value = _numbered([texts.swaps(phrase, ask_for) for phrase in phrases])
    regions = [_region((0.1, 0.1, 0.9, 0.9), phrase, "") for phrase in phrases]
    asked = Negatives(NEGATIVES).question(_record(scene, regions))
    assert asked is not None
    return Lesson(asked.text, (), json.dumps(value), (), value)


def _numbered(values: list[Any]) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(values, 1)}


def _heard(thing: Thing, rng: np.random.Generator) -> str:
    """What the detector was asked for: mostly the thing's phrase, at times another one."""
    phrase = texts.thing_phrase(thing)
    draw = rng.random()
    if draw < 0.3:
        phrase = texts.false_statement(thing, rng)
    elif draw < 0.4:
        phrase = texts.random_phrase(rng)
    return phrase.split(" ", 1)[1] if rng.random() < 0.15 else phrase


def _statements(
    thing: Thing, scene: Scene, box: Box, rng: np.random.Generator
) -> tuple[Region, list[str]]:
    """A region with up to 5 statements, about half of them true, and the right answers."""

    def state(true: float) -> str:
        if rng.random() < true:
            return texts.thing_phrase(thing)
        return texts.false_statement(thing, rng)

    short = state(0.7)
    long = state(0.7) + f" on a {scene.surface} table" if rng.random() < 0.9 else short
    negatives = [state(0.25) for _ in range(int(rng.integers(0, NEGATIVES.per_region + 1)))]
    region = _region(box, short, long, tuple(HardNegative(n, "color", "", "") for n in negatives))
    told = [*dict.fromkeys((short, long)), *negatives]
    fact = (thing.color, thing.pattern, thing.kind)
    return region, ["yes" if texts.words_of(text) == fact else "no" for text in told]


def _region(box: Box, short: str, long: str, negatives: tuple[HardNegative, ...] = ()) -> Region:
    return Region(box, 0.5, short, short, long or short, negatives)


def _record(scene: Scene, regions: Any) -> Record:
    return Record(
        "0", "0", "0", Bytes("", 0, 0), "", width=scene.width, height=scene.height,
        regions=tuple(regions),
    )  # fmt: skip


def _shaken(thing: Thing, scene: Scene, rng: np.random.Generator) -> Box:
    """The thing's box, as a detector that is a little off would give it."""
    x1, y1, x2, y2 = thing.box
    shift = rng.uniform(-0.08, 0.08, 4) * (x2 - x1, y2 - y1, x2 - x1, y2 - y1)
    moved = np.asarray((x1, y1, x2, y2)) + shift
    sides = np.asarray((scene.width, scene.height, scene.width, scene.height))
    left, top, right, bottom = np.clip(moved / sides, 0, 1).tolist()
    return left, top, right, bottom


def _as_sent(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(image, quality))).convert("RGB")


def _seen(scene: Scene, box: Box | None) -> tuple[tuple[Thing, Box], ...]:
    """The things in the cut-out of `box` (of the whole scene where None), their boxes in it."""
    x1, y1, x2, y2 = box or (0.0, 0.0, 1.0, 1.0)
    margin = IMAGES.crop_margin if box else 0.0
    dx, dy = (x2 - x1) * margin, (y2 - y1) * margin
    left, top = max(0.0, x1 - dx), max(0.0, y1 - dy)
    width, height = min(1.0, x2 + dx) - left, min(1.0, y2 + dy) - top
    placed = []
    for t in scene.things:
        a, b, c, d = (v / s for v, s in zip(t.box, (scene.width, scene.height) * 2, strict=True))
        placed.append(
            (t, ((a - left) / width, (b - top) / height, (c - left) / width, (d - top) / height))
        )
    return tuple(placed)
