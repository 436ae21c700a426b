"""The rendered scenes, their truth, and the shards they are written as."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from finehard.demo.render import render
from finehard.demo.scenes import ScenesConfig, write_scenes
from finehard.demo.world import COLORS, HELD_OUT, KINDS


def test_same_seed_and_index_give_the_same_picture_and_truth():
    first, second = render(3, 14), render(3, 14)
    assert np.array_equal(np.asarray(first[0]), np.asarray(second[0]))
    assert first[1] == second[1]
    assert not np.array_equal(np.asarray(first[0]), np.asarray(render(4, 14)[0]))


def test_boxes_are_in_the_picture_and_color_and_kind_are_unique():
    for index in range(60):
        image, scene = render(8, index)
        assert image.size == (scene.width, scene.height)
        assert 0.49 < scene.width / scene.height < 2.05
        assert 1 <= len(scene.things) <= 8
        assert len({(t.color, t.kind) for t in scene.things}) == len(scene.things)
        for thing in scene.things:
            x1, y1, x2, y2 = thing.box
            assert 0 <= x1 < x2 <= scene.width and 0 <= y1 < y2 <= scene.height
            assert thing.visible >= 0.6


def test_objects_and_relations_are_sorted_left_to_right():
    for index in range(40):
        _, scene = render(9, index)
        centres = [t.box[0] + t.box[2] for t in scene.things]
        assert centres == sorted(centres)
        for a, relation, b in scene.relations:
            if relation == "left of":
                assert centres[a] <= centres[b]


def test_the_box_holds_the_objects_color():
    """The box of a plain red ball is mostly red, and there is little red outside it."""
    for index in range(400):
        image, scene = render(10, index)
        red = [t for t in scene.things if t.color == "red"]
        if len(red) == 1 and red[0].kind == "ball" and red[0].pattern == "plain":
            pixels = np.asarray(image, np.int32)
            mask = (pixels[..., 0] > 110) & (pixels[..., 1] < 80) & (pixels[..., 2] < 90)
            x1, y1, x2, y2 = red[0].box
            inside = mask[y1:y2, x1:x2]
            assert inside.mean() > 0.4
            assert mask.sum() - inside.sum() < 0.2 * inside.sum() + 30
            return
    pytest.fail("no scene with a plain red ball")


def test_held_out_pairs_occur_only_outside_training_scenes():
    def pairs(held_out: bool) -> list[tuple[str, str]]:
        scenes = [render(11, i, held_out)[1] for i in range(120)]
        return [(t.color, t.kind) for scene in scenes for t in scene.things]

    assert not set(pairs(False)) & HELD_OUT
    assert set(pairs(True)) & HELD_OUT
    assert {kind for _, kind in pairs(False)} == set(KINDS)
    assert {color for color, _ in pairs(False)} == set(COLORS)


def test_shards_have_img2datasets_layout_and_a_truth_file(tmp_path: Path):
    truth = write_scenes(tmp_path, ScenesConfig(count=5, seed=1, per_shard=3))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "00000.parquet", "00000.tar", "00000_stats.json",
        "00001.parquet", "00001.tar", "00001_stats.json", "truth.jsonl",
    ]  # fmt: skip
    header, *rows = [json.loads(line) for line in truth.read_text().splitlines()]
    assert header["truth_version"] == "1.0"
    keys = []
    for shard in ("00000", "00001"):
        with tarfile.open(tmp_path / f"{shard}.tar") as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
        table = pq.read_table(tmp_path / f"{shard}.parquet").to_pylist()
        assert json.loads((tmp_path / f"{shard}_stats.json").read_text())["successes"] == len(table)
        for row in table:
            keys.append(row["key"])
            assert json.loads(members[f"{row['key']}.json"]) == row
            text = members.get(f"{row['key']}.txt")
            assert (text.decode() if text is not None else None) == row["caption"]
            image = Image.open(io.BytesIO(members[f"{row['key']}.jpg"]))
            assert image.size == (row["width"], row["height"])
    assert [row["key"] for row in rows] == keys
    assert all(0 <= v <= 1 for row in rows for o in row["objects"] for v in o["box"])


def test_number_of_workers_does_not_change_a_byte(tmp_path: Path):
    for workers in (1, 2):
        write_scenes(tmp_path / str(workers), ScenesConfig(4, 5, 2, workers=workers))
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name
