"""Features for detectors, read back as F-ViT and CLIPSelf read them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from finehard.benchmarks.export import class_features
from finehard.benchmarks.imagenet import imagenet
from finehard.benchmarks.loading import load_model
from finehard.cli.main import main
from tests.benchmarks.models.conftest import (  # noqa: F401
    clip_folder,
    fgclip2_folder,
    fgclip_folder,
    open_clip_folder,
    pictures,
)

NAMES = ["hot_dog", "cup/mug", "cat"]


def export(*arguments: object) -> int:
    return main(["export-features", *map(str, arguments)])


def test_fvit_finds_every_class_and_the_background(fgclip_folder, tmp_path):  # noqa: F811
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    output = tmp_path / "deep" / "classes.pt"
    assert export("--model", fgclip_folder, "--classes", tmp_path / "classes.json",
                  "--output", output) == 0  # fmt: skip
    loaded = torch.load(output)  # as F-ViT's box head does
    stacked = torch.stack([loaded[name] for name in [*NAMES, "background"]])
    assert stacked.dtype == torch.float32 and stacked.shape == (4, 16)
    torch.testing.assert_close(stacked.norm(dim=-1), torch.ones(4))


def test_clipself_gets_a_row_a_class_in_order_of_ids(fgclip_folder, tmp_path):  # noqa: F811
    categories = [{"id": 9, "name": "cat"}, {"id": 2, "name": "hot_dog"}]
    (tmp_path / "coco.json").write_text(json.dumps({"categories": categories}))
    (tmp_path / "templates.txt").write_text("a {c}\nThe {c}.\n")
    assert export(
        "--model", fgclip_folder, "--classes", tmp_path / "coco.json", "--templates",
        tmp_path / "templates.txt", "--output", tmp_path / "rows.npy",
    ) == 0  # fmt: skip
    rows = np.load(tmp_path / "rows.npy")
    texts = ["a hot dog", "The hot dog.", "a cat", "The cat."]
    encoded = load_model(fgclip_folder, "cpu").encode_texts(texts, "region")
    means = encoded.reshape(2, 2, -1).mean(1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, means, atol=1e-6)


def test_maps_give_the_features_of_boxes(fgclip_folder, pictures, tmp_path, capsys):  # noqa: F811
    (tmp_path / "images").mkdir()
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "images" / f"{number}.png")
    assert export("--model", fgclip_folder, "--images", tmp_path / "images",
                  "--output", tmp_path / "maps") == 0  # fmt: skip
    assert "3 images" in capsys.readouterr().out
    dense = np.load(tmp_path / "maps" / "0.npy")
    assert dense.shape == (16, 4, 4) and dense.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(dense, axis=0), 1, atol=1e-5)
    model = load_model(fgclip_folder, "cpu")
    one = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    raw = next(iter(model.dense_maps(pictures[:1])))
    region = roi_align(raw[None], [one], (1, 1), aligned=True).flatten()
    box = model.encode_boxes(pictures[:1], [np.array([(0, 0, 1, 1)])])[0][0]
    np.testing.assert_allclose(box, region / region.norm(), atol=1e-5)
    np.testing.assert_allclose(dense, raw / raw.norm(dim=0), atol=1e-5)


@pytest.mark.parametrize(
    "content, words",
    [("[]", "no names"), ('["a", "a"]', "twice"), ("{}", "neither a list"), ("[3]", "neither")],
)
def test_wrong_lists_of_classes_are_refused(tmp_path, capsys, content, words):
    (tmp_path / "classes.json").write_text(content)
    code = export("--model", "m", "--classes", tmp_path / "classes.json", "--output", "x.pt")
    assert code == 2 and words in capsys.readouterr().err


def test_wrong_arguments_are_refused_before_a_model_loads(tmp_path, capsys):
    (tmp_path / "names.txt").write_text("cat\n")
    (tmp_path / "templates.txt").write_text("a thing\n")
    names = ["--classes", tmp_path / "names.txt"]
    for arguments, words in (
        (["--output", "x.pt"], "either"),
        ([*names, "--images", ".", "--output", "x.pt"], "either"),
        ([*names, "--output", "x.txt"], ".pt or a .npy"),
        ([*names, "--output", "x.pt", "--templates", tmp_path / "templates.txt"], "no {c}"),
        (["--classes", tmp_path / "none.txt", "--output", "x.pt"], "No such file"),
        (["--images", tmp_path / "none", "--output", "x"], "no such folder"),
    ):
        assert export("--model", "m", *arguments) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_no_images_and_broken_images_are_named(fgclip_folder, tmp_path, capsys):  # noqa: F811
    (tmp_path / "images").mkdir()
    arguments = ["--model", fgclip_folder, "--images", tmp_path / "images", "--output", tmp_path]
    assert export(*arguments) == 2 and "no .jpg" in capsys.readouterr().err
    Path(tmp_path / "images" / "1.png").write_bytes(b"no image")
    assert export(*arguments) == 1 and "1.png" in capsys.readouterr().err


@torch.no_grad()
def test_fgclip2_exports_boxes_texts_and_own_maps(fgclip2_folder, pictures, tmp_path):  # noqa: F811
    """Classes are by the head for texts of boxes, maps have an image's own rows and columns."""
    (tmp_path / "names.txt").write_text("red square\nblue ball\n")
    (tmp_path / "templates.txt").write_text("a {c}\n")
    assert export(
        "--model", fgclip2_folder, "--classes", tmp_path / "names.txt", "--templates",
        tmp_path / "templates.txt", "--output", tmp_path / "rows.npy",
    ) == 0  # fmt: skip
    model = load_model(fgclip2_folder, "cpu")
    texts = model.encode_texts(["a red square", "a blue ball"], "region")
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), texts, atol=1e-6)
    (tmp_path / "images").mkdir()
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "images" / f"{number}.png")
    assert export("--model", fgclip2_folder, "--images", tmp_path / "images",
                  "--output", tmp_path / "maps") == 0  # fmt: skip
    maps = [np.load(tmp_path / "maps" / f"{number}.npy") for number in range(3)]
    assert [one.shape for one in maps] == [(24, 9, 14), (24, 12, 9), (24, 11, 11)]


def test_the_page_fuses_scores(fgclip_folder, pictures, tmp_path, monkeypatch):  # noqa: F811
    page = (Path(__file__).parents[2] / "docs" / "open-vocabulary-detection.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "val2017").mkdir()
    images = []
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "val2017" / f"{number}.png")
        images.append({"id": number, "file_name": f"val2017/{number}.png", "width": picture.width,
                       "height": picture.height})  # fmt: skip
    categories = [{"id": 7, "name": "red_square"}, {"id": 3, "name": "blue ball"}]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "categories": categories}))
    found = [
        {"image_id": i, "category_id": c, "bbox": [2, 3, 20, 11], "score": s}
        for i, c, s in ((2, 7, 0.25), (0, 7, 0.5), (2, 3, 0.75))
    ]
    (tmp_path / "d.json").write_text(json.dumps(found))
    names = [fgclip_folder, *(tmp_path / name for name in ("d.json", "a.json", ".", "out.json"))]
    monkeypatch.setattr(sys, "argv", ["fuse.py", *map(str, names)])
    exec(block, {})
    fused = json.loads((tmp_path / "out.json").read_text())
    assert [{**one, "score": 0} for one in fused] == [{**one, "score": 0} for one in found]
    shares = [f["score"] ** 2 / d["score"] for f, d in zip(fused, found, strict=True)]
    assert shares[0] + shares[2] == pytest.approx(1)  # of the two classes, in one box
    model = load_model(fgclip_folder, "cpu")
    size = np.array([pictures[0].width, pictures[0].height] * 2)
    box = model.encode_boxes(pictures[:1], [np.array([(2, 3, 22, 14)]) / size])[0]
    classes = class_features(model, ["blue ball", "red square"], imagenet().classes.templates)
    blue, red = np.exp(100 * box @ classes.T)[0]
    assert shares[1] == pytest.approx(red / (red + blue), rel=1e-3)
