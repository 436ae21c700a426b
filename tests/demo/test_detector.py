"""The demo detector: its training data, and that the pipeline loads what training writes."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from finehard.demo.detector.batches import draw  # noqa: E402
from finehard.demo.detector.model import GRID, build_model, build_tokenizer, save  # noqa: E402
from finehard.demo.detector.phrases import SETTING, matches, specs  # noqa: E402
from finehard.demo.render import render  # noqa: E402
from finehard.demo.texts import long_caption, short_caption, thing_phrase  # noqa: E402
from finehard.demo.world import HELD_OUT  # noqa: E402
from finehard.detect import DetectConfig, load_detector  # noqa: E402


@pytest.fixture(scope="module")
def pictures():
    made = [render(31, index, held_out=False) for index in range(12)]
    return [(np.asarray(image), scene) for image, scene in made]


def test_no_held_out_pair_is_ever_asked_for(pictures):
    rng = np.random.default_rng(0)
    scenes = [scene for _, scene in pictures]
    asked = [spec for _ in range(100) for spec in specs(scenes, 64, rng) if spec is not None]
    assert not {(color, kind) for color, _, kind in asked} & HELD_OUT
    assert any(spec[0] is None for spec in asked) and any(spec[2] is None for spec in asked)


def test_a_phrase_matches_what_it_says_and_no_more(pictures):
    thing = next(t for _, s in pictures for t in s.things if t.pattern == "striped")
    assert matches((None, None, thing.kind), thing)
    assert matches((thing.color, "striped", thing.kind), thing)
    assert not matches((thing.color, "dotted", thing.kind), thing)
    assert not matches((None, None, "nothing"), thing)


def test_cells_belong_to_the_object_they_lie_in(pictures):
    pixels, scenes, owners, boxes = draw(pictures, 8, np.random.default_rng(1))
    assert pixels.shape == (8, 3, 256, 256) and owners.shape == (8, 2, GRID * GRID)
    assert len(boxes) == sum(len(s.things) for s in scenes)
    for kind in (0, 1):
        for image, cell in zip(*torch.where(owners[:, kind] >= 0), strict=True):
            x1, y1, x2, y2 = boxes[owners[image, kind, cell]].tolist()
            row, column = divmod(int(cell), GRID)
            assert x1 < (column + 1) / GRID and column / GRID < x2
            assert y1 < (row + 1) / GRID and row / GRID < y2
    assert set(range(len(boxes))) >= set(owners[owners >= 0].tolist())


def test_every_word_of_the_captions_phrases_is_in_the_vocabulary():
    tokenizer = build_tokenizer()
    unknown = tokenizer.unk_token_id
    for index in range(30):
        _, scene = render(32, index)
        for phrase in [*map(thing_phrase, scene.things), *SETTING]:
            assert unknown not in tokenizer(phrase)["input_ids"], phrase
        assert long_caption(scene) and short_caption(scene)
    assert unknown in tokenizer("a zebra")["input_ids"]


def test_the_pipeline_loads_the_written_folder(tmp_path: Path):
    model, tokenizer = build_model(0)
    save(model, tokenizer, tmp_path)
    detector = load_detector(
        DetectConfig(backend="owlv2", model=str(tmp_path), threads=1, floor=0.0, score=0.0)
    )
    image, scene = render(33, 0)
    found = detector.detect([image], [[thing_phrase(scene.things[0]), "a zebra"]])[0]
    assert found and all(0 <= v <= 1 for d in found for v in d.box)
    assert sum(p.numel() for p in model.parameters()) < 3_000_000
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 6_000_000
