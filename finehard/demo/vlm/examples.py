"""Questions exactly as the pipeline asks them about a scene, each with the right reply."""

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
MOST_REGIONS = 8
WHOLE = -1


class Lesson(NamedTuple):
    """One question with its reply; `truth` is the reply before it became JSON.

    `shows` tells the question's images: WHOLE, or the index of the thing that is cut out.
    """

    text: str
    shows: tuple[int, ...]
    reply: str
    truth: Any


def lesson(task: str, scene: Scene, rng: np.random.Generator, most: int = MOST_REGIONS) -> Lesson:
    """A lesson of `task` on a scene, with at most `most` regions."""
    shows: tuple[int, ...] = ()
    stage: Stage
    regions: list[Region] = []
    value: Any
    if task == "caption":
        stage, shows = Caption(CAPTION), (WHOLE,)
        value = texts.captions(scene)
    elif task == "negatives":
        phrases = _phrases(min(most, len(scene.things)), rng)
        stage, regions = Negatives(NEGATIVES), [_region(p, "") for p in phrases]
        value = _numbered([texts.swaps(phrase, NEGATIVES.ask_for) for phrase in phrases])
    elif task == "regions":
        shows = tuple(rng.permutation(len(scene.things))[:most].tolist())
        things = [scene.things[index] for index in shows]
        stage, regions = Regions(RegionsConfig()), [_region(_heard(t, rng), "") for t in things]
        value = _numbered([texts.region_caption(thing, scene) for thing in things])
    else:
        shows = (int(rng.integers(len(scene.things))),)
        region, answers = _statements(scene.things[shows[0]], scene, rng)
        stage, regions, value = Verify(VerifyConfig()), [region], _numbered(answers)
    [asked] = stage.questions(_record(scene, regions))
    return Lesson(asked.text, shows, json.dumps(value), value)


def _phrases(count: int, rng: np.random.Generator) -> list[str]:
    """Noun phrases to swap words of; some without an article, some without an attribute."""
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


def _heard(thing: Thing, rng: np.random.Generator) -> str:
    """What the detector was asked for: mostly the thing's phrase, at times another one."""
    phrase = texts.thing_phrase(thing)
    draw = rng.random()
    if draw < 0.3:
        phrase = texts.false_statement(thing, rng)
    elif draw < 0.4:
        phrase = texts.random_phrase(rng)
    return phrase.split(" ", 1)[1] if rng.random() < 0.15 else phrase


def _statements(thing: Thing, scene: Scene, rng: np.random.Generator) -> tuple[Region, list[str]]:
    """A region with the texts and negatives that a build might have, and the right answers."""

    def state(true: float) -> str:
        if rng.random() < true:
            return texts.thing_phrase(thing)
        return texts.false_statement(thing, rng)

    short = state(0.7)
    long = state(0.7) + f" on a {scene.surface} table" if rng.random() < 0.9 else short
    most, swaps = NEGATIVES.per_region, lexicon.swaps(short)
    swapped, _ = pick(short, [swaps[i] for i in rng.permutation(len(swaps))], most)
    negatives = [
        texts.thing_phrase(thing) if rng.random() < 0.15 else negative.text
        for negative in swapped[: int(rng.integers(0, most + 1))]
    ]
    region = _region(short, long, tuple(HardNegative(n, "color", "", "") for n in negatives))
    told = [*dict.fromkeys((short, long)), *negatives]
    fact = (thing.color, thing.pattern, thing.kind)
    return region, ["yes" if texts.words_of(text) == fact else "no" for text in told]


def _region(short: str, long: str, negatives: tuple[HardNegative, ...] = ()) -> Region:
    return Region((0.1, 0.1, 0.9, 0.9), 0.5, short, short, long or short, negatives)


def _record(scene: Scene, regions: Any) -> Record:
    return Record(
        "0", "0", "0", Bytes("", 0, 0), "", width=scene.width, height=scene.height,
        regions=tuple(regions),
    )  # fmt: skip
