"""The detector's weights are fetched before a build, with their checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from finehard.detect import weights
from finehard.detect.config import DetectConfig
from finehard.errors import FinehardError

PUBLISHED = b"weights as published"


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the release; work is done in another."""
    folder, cwd = tmp_path / "release", tmp_path / "cwd"
    folder.mkdir()
    cwd.mkdir()
    (folder / "yolov8x-worldv2.pt").write_bytes(PUBLISHED)
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(weights, "URL", f"file://{folder}/{{}}")
    sha256 = hashlib.sha256(PUBLISHED).hexdigest()
    monkeypatch.setattr(weights, "SHA256", {"yolov8x-worldv2.pt": sha256})
    return folder


def _config(folder: Path, model: str = "yolov8x-worldv2.pt") -> DetectConfig:
    return DetectConfig(backend="yolo_world", model=model, text_model=str(folder))


def test_published_weights_are_fetched_once(release: Path) -> None:
    config = _config(release, "models/yolov8x-worldv2.pt")
    assert weights.fetch_weights(config) == [
        "models/yolov8x-worldv2.pt: fetched, SHA-256 as published"
    ]
    assert Path("models/yolov8x-worldv2.pt").read_bytes() == PUBLISHED
    (release / "yolov8x-worldv2.pt").unlink()
    assert weights.fetch_weights(config) == [
        "models/yolov8x-worldv2.pt: there, SHA-256 as published"
    ]
    assert [p.name for p in Path("models").iterdir()] == ["yolov8x-worldv2.pt"]


def _refused(config: DetectConfig) -> str:
    with pytest.raises(FinehardError) as caught:
        weights.fetch_weights(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("fault", ["gone", "other bytes"])
def test_what_cannot_be_fetched_is_to_be_put_there(release: Path, fault: str) -> None:
    if fault == "gone":
        (release / "yolov8x-worldv2.pt").unlink()
    else:
        (release / "yolov8x-worldv2.pt").write_bytes(b"other")
    told = _refused(_config(release))
    where = Path("yolov8x-worldv2.pt").absolute()
    assert f"download it to {where}; its SHA-256 is {weights.SHA256['yolov8x-worldv2.pt']}" in told
    assert list(Path.cwd().iterdir()) == []


def test_damaged_weights_are_named_and_kept(release: Path) -> None:
    Path("yolov8x-worldv2.pt").write_bytes(b"half of it")
    assert "yolov8x-worldv2.pt is not the published file" in _refused(_config(release))
    assert Path("yolov8x-worldv2.pt").exists()


def test_own_weights_are_taken_as_they_are(release: Path) -> None:
    assert "can fetch only yolov8x-worldv2.pt" in _refused(_config(release, "mine.pt"))
    Path("mine.pt").write_bytes(b"mine")
    assert weights.fetch_weights(_config(release, "mine.pt")) == ["mine.pt: there"]


def test_local_models_need_nothing(tmp_path: Path) -> None:
    for config in (
        DetectConfig(model=str(tmp_path)),
        DetectConfig(backend="mine:load", model="any"),
        DetectConfig(backend="yolo_world", model="yolov8s-worldv2.yaml", text_model=str(tmp_path)),
    ):
        assert weights.fetch_weights(config) == []


def test_hub_models_are_fetched_by_loading_them(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[DetectConfig] = []
    monkeypatch.setattr(weights, "load_detector", loaded.append)
    done = weights.fetch_weights(DetectConfig(model="some/owl", device="cuda"))
    assert done == ["some/owl: in the Hub's cache"]
    assert [(c.model, c.device) for c in loaded] == [("some/owl", "cpu")]


def test_hub_out_of_reach_says_how_to_bring_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: DetectConfig) -> None:
        raise FinehardError("detect.model: cannot load 'some/owl'.")

    monkeypatch.setattr(weights, "load_detector", fail)
    told = _refused(DetectConfig(model="some/owl"))
    assert told.startswith("detect.model: cannot load 'some/owl'. To fetch it elsewhere: run")
    assert "HF_HOME" in told
