"""Training examples: questions exactly as the pipeline asks them, each with its ideal reply."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from finehard.demo import texts
from finehard.demo.world import SURFACES, Scene, Thing
from finehard.negatives import Negatives, NegativesConfig, lexicon
from finehard.negatives.swap import pick
from finehard.records import Bytes, HardNegative, Record, Region
from finehard.stages.caption import Caption, CaptionConfig
from finehard.stages.regions import Regions, RegionsConfig
from finehard.stages.stage import Stage
from finehard.stages.verify import Verify, VerifyConfig

CAPTION = CaptionConfig(long_words=60)
NEGATIVES = NegativesConfig(ask_for=4, per_region=10)
TASKS = ("caption", "regions", "negatives", "verify")
MAX_REGIONS = 8
FULL_IMAGE = -1


class Example(NamedTuple):
    """One question and its ideal reply; `target` is the reply before it became JSON.

    `images` lists the question's images: `FULL_IMAGE`, or the index of the object that is cropped.
    """

    question: str
    images: tuple[int, ...]
    reply: str
    target: Any


def make_example(
    task: str, scene: Scene, rng: np.random.Generator, max_regions: int = MAX_REGIONS
) -> Example:
    """Returns an example of `task` for a scene, with at most `max_regions` regions."""
    images: tuple[int, ...] = ()
    stage: Stage
    regions: list[Region] = []
    target: Any
    if task == "caption":
        stage, images = Caption(CAPTION), (FULL_IMAGE,)
        target = texts.captions(scene)
    elif task == "negatives":
        phrases = _phrases(min(max_regions, len(scene.things)), rng)
        stage, regions = Negatives(NEGATIVES), [_region(p, "") for p in phrases]
        target = _numbered([texts.swaps(phrase, NEGATIVES.ask_for) for phrase in phrases])
    elif task == "regions":
        images = tuple(rng.permutation(len(scene.things))[:max_regions].tolist())
        things = [scene.things[index] for index in images]
        stage = Regions(RegionsConfig())
        regions = [_region(_detector_phrase(thing, rng), "") for thing in things]
        target = _numbered([texts.region_caption(thing, scene) for thing in things])
    else:
        images = (int(rng.integers(len(scene.things))),)
        region, verdicts = _region_to_verify(scene.things[images[0]], scene, rng)
        stage, regions, target = Verify(VerifyConfig()), [region], _numbered(verdicts)
    [question] = stage.questions(_record(scene, regions))
    return Example(question.text, images, json.dumps(target), target)


def _phrases(count: int, rng: np.random.Generator) -> list[str]:
    """Returns noun phrases to make negatives of; some lack an article, some an attribute."""
    phrases = [texts.random_phrase(rng) for _ in range(count)]
    for i, phrase in enumerate(phrases):
        draw = rng.random()
        if draw < 0.15:
            phrases[i] = phrase.split(" ", 1)[1]
        elif draw < 0.18:
            phrases[i] = f"a {SURFACES[rng.integers(len(SURFACES))]} table"
    return phrases


def _numbered(values: list[Any]) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(values, 1)}


def _detector_phrase(thing: Thing, rng: np.random.Generator) -> str:
    """Returns a phrase for which the detector may have returned `thing`: usually a true one."""
    phrase = texts.thing_phrase(thing)
    draw = rng.random()
    if draw < 0.3:
        phrase = texts.false_statement(thing, rng)
    elif draw < 0.4:
        phrase = texts.random_phrase(rng)
    return phrase.split(" ", 1)[1] if rng.random() < 0.15 else phrase


def _region_to_verify(
    thing: Thing, scene: Scene, rng: np.random.Generator
) -> tuple[Region, list[str]]:
    """Returns a region with texts and negatives as a build might have them, and the verdicts."""

    def statement(true: float) -> str:
        if rng.random() < true:
            return texts.thing_phrase(thing)
        return texts.false_statement(thing, rng)

    short = statement(0.7)
    long = statement(0.7) + f" on a {scene.surface} table" if rng.random() < 0.9 else short
    limit, swaps = NEGATIVES.per_region, lexicon.swaps(short)
    swapped, _ = pick(short, [swaps[i] for i in rng.permutation(len(swaps))], limit)
    negatives = [
        texts.thing_phrase(thing) if rng.random() < 0.15 else negative.text
        for negative in swapped[: int(rng.integers(0, limit + 1))]
    ]
    region = _region(short, long, tuple(HardNegative(n, "color", "", "") for n in negatives))
    statements = [*dict.fromkeys((short, long)), *negatives]
    truth = (thing.color, thing.pattern, thing.kind)
    return region, ["yes" if texts.words_of(text) == truth else "no" for text in statements]


def _region(short: str, long: str, negatives: tuple[HardNegative, ...] = ()) -> Region:
    return Region((0.1, 0.1, 0.9, 0.9), 0.5, short, short, long or short, negatives)


def _record(scene: Scene, regions: Any) -> Record:
    return Record(
        "0", "0", "0", Bytes("", 0, 0), "", width=scene.width, height=scene.height,
        regions=tuple(regions),
    )  # fmt: skip
