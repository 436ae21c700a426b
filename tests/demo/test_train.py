"""What `make demo-models` runs, with a few scenes and steps: it ends, and twice the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from finehard.demo.detector.train import DetectorTrainConfig, train_detector
from finehard.demo.vlm.train import TrainConfig, train

pytestmark = pytest.mark.slow


def _vlm(folder: Path, work: Path) -> bytes:
    config = TrainConfig(scenes=64, look_steps=3, scene_steps=3, steps=4, save_every=4)
    train(config, folder, work)
    return (folder / "model.safetensors").read_bytes()


def test_the_same_seed_trains_the_same_vlm_from_nothing_or_from_what_was_kept(
    tmp_path: Path,
) -> None:
    first = _vlm(tmp_path / "first", tmp_path / "work")
    assert _vlm(tmp_path / "kept", tmp_path / "work") == first
    assert _vlm(tmp_path / "anew", tmp_path / "other") == first


def test_the_same_seed_trains_the_same_detector(tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        config = DetectorTrainConfig(
            pictures=str(tmp_path / "pictures"), scenes=32, steps=4, threads=1
        )
        train_detector(tmp_path / name, config)
        made.append((tmp_path / name / "model.safetensors").read_bytes())
    assert made[0] == made[1]
