"""What is refused before anything is written: above all an output that overlaps the input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finehard.config import parse_config
from finehard.errors import FinehardError, UsageError
from finehard.preflight import check_output, preflight
from tests.pictures import jpg

_SERVED = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything below `folder`."""
    paths = [folder, *folder.rglob("*")]
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in paths}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Images in `images`, what may be a dataset in `ds`, and links to both."""
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    (images / "a.jpg").write_bytes(jpg())
    (images / "deep" / "b.jpg").write_bytes(jpg())
    dataset = tmp_path / "ds"
    for name in ("_journal", "shards", "rejected"):
        (dataset / name).mkdir(parents=True)
        (dataset / name / "file").write_text(name)
    (dataset / "manifest.json").write_text("{}")
    (tmp_path / "to_images").symlink_to(images)
    (tmp_path / "to_ds").symlink_to(dataset)
    return tmp_path


_OVERLAPS = [
    ("images", "images", "is the"),
    ("images", "images/", "is the"),
    ("images", "images/deep/..", "is the"),
    ("images", "to_images", "is the"),
    ("images", "images/out", "lies inside the"),
    ("images", "images/deep/out/of/all", "lies inside the"),
    ("images", "to_images/out", "lies inside the"),
    ("to_images", "images/out", "lies inside the"),
    ("ds/rejected", "ds", "contains the"),
    ("ds/rejected/file", "ds", "contains the"),
    ("ds/shards", "ds", "contains the"),
    ("ds/../ds/rejected", "to_ds", "contains the"),
    ("images/deep", "images", "contains the"),
    ("ds", "ds/shards/again", "lies inside the"),
]


@pytest.mark.parametrize(("source", "output", "relation"), _OVERLAPS)
def test_an_output_overlapping_the_input_is_refused(
    world: Path, source: str, output: str, relation: str
) -> None:
    before = _tree(world)
    with pytest.raises(UsageError, match=f"{relation} input"):
        config = parse_config({"models": {"lmm": _SERVED, "llm": _SERVED}}, "test")
        preflight(config, os.path.join(world, source), os.path.join(world, output), None)
    assert _tree(world) == before


@pytest.mark.parametrize("root", ["s3://bucket", "gs://bucket", "az://box", "memory://m"])
@pytest.mark.parametrize(
    ("source", "output", "relation"),
    [
        ("in", "in", "is the"),
        ("in", "in//", "is the"),
        ("in", "in/x/../", "is the"),
        ("in", "in/out", "lies inside the"),
        ("", "out", "lies inside the"),
        ("ds/rejected", "ds", "contains the"),
        ("ds/rejected/part.parquet", "ds/", "contains the"),
    ],
)
def test_overlapping_uris_are_refused_unasked(
    root: str, source: str, output: str, relation: str
) -> None:
    with pytest.raises(UsageError, match=f"{relation} input"):
        check_output(f"{root}/{output}", f"{root}/{source}")


def test_neighbours_with_a_common_beginning_are_no_overlap(world: Path) -> None:
    check_output(str(world / "images2"), str(world / "images"))
    check_output(str(world / "ds"), str(world / "images"))
    assert not (world / "images2").exists()


def test_an_output_with_other_files_is_refused(world: Path) -> None:
    before = _tree(world)
    with pytest.raises(UsageError, match="holds other files"):
        check_output(str(world / "images"), str(world / "ds" / "rejected"))
    with pytest.raises(UsageError, match="is a file"):
        check_output(str(world / "images" / "a.jpg"), str(world / "ds" / "rejected"))
    assert _tree(world) == before


def test_a_missing_server_model_is_named(world: Path) -> None:
    engine = {"model": str(world / "vlm")}
    values = {"models": {"lmm": {}, "llm": {}}, "server": {"engine": engine}}
    with pytest.raises(FinehardError, match=r"server.engine.model: there is no /"):
        preflight(parse_config(values, "test"), str(world / "images"), None, None)
