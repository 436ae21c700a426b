"""The simulated models of `bench.recipes`: as often wrong as stated, and shown what builds send."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.recipes import models
from bench.recipes.published import Unchecked
from bench.recipes.rates import RATES
from bench.recipes.world import CONFIG, World, places, write_world
from finehard.demo import texts
from finehard.demo.render import encode, render
from finehard.demo.scenes import ScenesConfig, write_scenes
from finehard.demo.world import COLORS, KINDS, PATTERNS, Scene, Thing
from finehard.negatives import NegativesConfig
from finehard.negatives.hints import line
from finehard.records import Bytes, Record, Region
from finehard.texts.statements import statements
from finehard.worker.images import Images

THINGS = [
    Thing(kind, color, pattern, "medium", (10 * n, 0, 10 * n + 8, 8), 1.0)
    for n, (kind, color, pattern) in enumerate(
        [("mug", "blue", "plain"), ("hat", "red", "striped"), ("book", "gray", "dotted")]
    )
]
SCENE = Scene(100, 50, tuple(THINGS), "wooden", "blue", "left", ())


def test_captions_name_as_much_right_as_stated() -> None:
    seen = [models.seen(str(n), SCENE) for n in range(2000)]
    right = np.mean([[a == b for a, b in zip(s, THINGS, strict=False)] for s in seen])
    named = np.mean([len(s) / len(THINGS) for s in seen])
    assert right == pytest.approx(RATES.recall, abs=0.02)
    assert right / named == pytest.approx(RATES.precision, abs=0.02)


def test_swaps_are_as_often_valid_as_stated() -> None:
    rng = np.random.default_rng(0)
    named = [s for _ in range(1000) for s in models.swaps(line(texts.random_phrase(rng), 12))]
    valid = [new in (COLORS if old in COLORS else PATTERNS) for old, new in _pairs(named)]
    nouns = [old in KINDS for old, _ in _pairs(named)]
    assert np.mean(valid) == pytest.approx(RATES.swaps_valid, abs=0.03)
    assert np.mean(nouns) == pytest.approx((1 - RATES.swaps_valid) * RATES.swaps_of_nouns, abs=0.03)


def _pairs(swaps: list[str]) -> list[tuple[str, str]]:
    return [(old, new) for old, _, new in (swap.partition(": ") for swap in swaps)]


def test_a_claim_is_judged_once_in_whatever_words() -> None:
    verdicts = [
        [models.verdict(str(n), SCENE, 0, text) for text in ("a blue mug", "a blue mug on a table")]
        for n in range(1000)
    ]
    assert all(one == other for one, other in verdicts)
    assert np.mean(verdicts) == pytest.approx(1 - RATES.verdicts_wrong, abs=0.03)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("a red striped hat", True),
        ("a red hat", True),
        ("a crimson striped hat on a wooden table", True),
        ("a large red hat", False),
        ("a red dotted hat", False),
        ("a red striped mug", False),
    ],
)
def test_texts_are_true_by_every_word(text: str, true: bool) -> None:
    assert models.is_true(text, THINGS[1]) == true


def test_statements_of_a_true_caption_are_true_of_the_scene() -> None:
    true = texts.captions(SCENE)
    parts = [s.text for s in statements(true["long_caption"])]
    assert len(parts) == 1 + len(THINGS) + 1
    assert all(models.is_true_of_scene(text, SCENE) for text in [*parts, true["short_caption"]])
    for wrong in (
        "Two objects stand on a table",
        "a blue hat on the left",
        "a blue mug, quite small, on the left",
        "a blue mug in the middle",
        "Three objects on a wooden table, among them a red hat and a blue mug.",
    ):
        assert not models.is_true_of_scene(wrong, SCENE), wrong


def test_captions_are_judged_as_wrongly_as_regions() -> None:
    said = [models.caption_verdict(str(n), SCENE, "a blue mug on the left") for n in range(1000)]
    assert np.mean(said) == pytest.approx(1 - RATES.verdicts_wrong, abs=0.03)


def test_a_false_phrase_gets_the_box_of_what_is_like_it() -> None:
    right, moved = places("scene", SCENE)
    found = models.detections("scene", SCENE, ["a green mug", "a green lamp"])
    assert {d.phrase for d in found} == {0}
    assert found[0].box in [place.box for place in (*right, *moved)]


def test_the_world_knows_what_a_build_sends(tmp_path: Path) -> None:
    write_scenes(tmp_path, ScenesConfig(3, seed=1, held_out=False))
    write_world(tmp_path / "world.json", tmp_path)
    world = World(tmp_path / "world.json")
    image, _ = render(1, 2, False)
    data = encode(image, 1, 2)
    name = world.of_file(data)
    assert name is not None
    scene = world.scenes[name]
    record = Record("2", "2", "2", Bytes("", 0, 0), name, width=scene.width, height=scene.height)
    sent = Images(CONFIG, lambda _: data)
    found = models.detections(name, scene, [texts.thing_phrase(t) for t in scene.things])
    views = sent.views(record, tuple(detection.box for detection in found))
    assert world.of_pixels(sent.pixels(record)) == name
    assert views
    assert all(world.of_view(view) is not None for view in views)


def test_the_published_recipe_checks_no_swap() -> None:
    stage = Unchecked(NegativesConfig(prompt="negatives.v2", per_region=3))
    region = Region((0, 0, 1, 1), 1.0, "", "a red mug", "")
    record = Record("2", "2", "2", Bytes("", 0, 0), "", regions=(region,))
    [ask] = stage.questions(record)
    assert ask.text.endswith("1. a red mug | red (color): 12\nAnswer:")
    reply = {"1": ["red: crimson", "mug: hat", "red: orange", "red: blue"]}
    made = stage.answer(record, [reply]).regions[0].hard_negatives
    assert [n.text for n in made] == ["a crimson mug", "a red hat", "an orange mug"]
