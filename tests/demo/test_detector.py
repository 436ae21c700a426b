"""The demo detector: its training data, and that the pipeline loads what training writes."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from finehard.demo.detector.batches import draw_batch  # noqa: E402
from finehard.demo.detector.model import GRID, build_model, build_tokenizer, save  # noqa: E402
from finehard.demo.detector.phrases import SETTING, draw_specs, matches  # noqa: E402
from finehard.demo.render import render  # noqa: E402
from finehard.demo.texts import long_caption, short_caption, thing_phrase  # noqa: E402
from finehard.demo.world import HELD_OUT  # noqa: E402
from finehard.detect import DetectConfig, load_detector  # noqa: E402


@pytest.fixture(scope="module")
def pictures():
    rendered = [render(31, index, held_out=False) for index in range(12)]
    return [(np.asarray(image), scene) for image, scene in rendered]


def test_no_training_phrase_names_a_held_out_pair(pictures):
    rng = np.random.default_rng(0)
    scenes = [scene for _, scene in pictures]
    drawn = [spec for _ in range(100) for spec in draw_specs(scenes, 64, rng)]
    specs = [spec for spec in drawn if spec is not None]
    assert not {(color, kind) for color, _, kind in specs} & HELD_OUT
    assert any(spec[0] is None for spec in specs) and any(spec[2] is None for spec in specs)


def test_a_phrase_matches_only_objects_it_describes(pictures):
    thing = next(t for _, s in pictures for t in s.things if t.pattern == "striped")
    assert matches((None, None, thing.kind), thing)
    assert matches((thing.color, "striped", thing.kind), thing)
    assert not matches((thing.color, "dotted", thing.kind), thing)
    assert not matches((None, None, "nothing"), thing)


def test_patches_are_assigned_to_the_object_they_lie_in(pictures):
    batch = draw_batch(pictures, 8, np.random.default_rng(1))
    assert batch.pixels.shape == (8, 3, 256, 256)
    assert len(batch.boxes) == sum(len(s.things) for s in batch.scenes)
    for assigned in (batch.strict, batch.wide):
        assert assigned.shape == (8, GRID * GRID)
        assert assigned.max() < len(batch.boxes)
        for image, patch in zip(*torch.where(assigned >= 0), strict=True):
            x1, y1, x2, y2 = batch.boxes[assigned[image, patch]].tolist()
            row, column = divmod(int(patch), GRID)
            assert x1 < (column + 1) / GRID and column / GRID < x2
            assert y1 < (row + 1) / GRID and row / GRID < y2


def test_the_vocabulary_has_every_word_of_the_phrases():
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
    [boxes] = detector.detect([image], [[thing_phrase(scene.things[0]), "a zebra"]])
    assert boxes and all(0 <= v <= 1 for d in boxes for v in d.box)
    assert sum(p.numel() for p in model.parameters()) < 3_000_000
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 6_000_000
