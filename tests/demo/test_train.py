"""The training that `make demo-models` runs, with few scenes and steps: it is deterministic."""

from __future__ import annotations

from pathlib import Path

import pytest

from finehard.demo.detector.train import DetectorTrainConfig, train_detector
from finehard.demo.vlm.train import TrainConfig, train

pytestmark = pytest.mark.slow


def _vlm(folder: Path, work: Path) -> bytes:
    config = TrainConfig(
        64, pretrain_steps=1, pretrain_full_steps=1, finetune_steps=2, save_every=2
    )
    train(config, folder, work)
    return (folder / "model.safetensors").read_bytes()


def test_vlm_training_is_deterministic_and_resumes_from_work(tmp_path: Path) -> None:
    first = _vlm(tmp_path / "first", tmp_path / "work")
    assert _vlm(tmp_path / "resumed", tmp_path / "work") == first
    assert _vlm(tmp_path / "again", tmp_path / "other") == first


def test_detector_training_is_deterministic(tmp_path: Path) -> None:
    weights = []
    for name in ("first", "second"):
        config = DetectorTrainConfig(
            pictures=str(tmp_path / "pictures"), scenes=32, steps=2, threads=1
        )
        train_detector(tmp_path / name, config)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
