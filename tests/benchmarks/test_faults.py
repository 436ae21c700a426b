"""The faults of the published scripts, each not repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finehard.benchmarks.benchmark import Figure
from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.run import Result, measure
from tests.benchmarks.colours import ColourModel, paint
from tests.benchmarks.layouts import IMAGENET, LAYOUTS, put


def _measured(name: str, root: Path, model: ColourModel | None = None) -> Result:
    LAYOUTS[name].write(root / BENCHMARKS[name].folder)
    return measure(BENCHMARKS[name], model or ColourModel(LAYOUTS[name].words), str(root))


def _figure(result: Result, name: str) -> Figure:
    return next(one for one in result.figures if one.name == name)


def test_fgovd_has_all_four_levels() -> None:
    levels = {name for name in BENCHMARKS if name.startswith("fgovd/")}
    assert levels == {f"fgovd/{one}" for one in ("hard", "medium", "easy", "trivial")}


def test_fgovd_a_tie_is_wrong_and_the_published_way_beside(tmp_path: Path) -> None:
    figure = _figure(_measured("fgovd/hard", tmp_path), "top1")
    assert (figure.value, figure.published) == (pytest.approx(2 / 3), 1.0)


def test_fgovd_boxes_are_xywh_not_corners(tmp_path: Path) -> None:
    paint(tmp_path / "fgovd/val2017/1.jpg", "red", "red", "blue", "red")
    row = {"img_path": "val2017/1.jpg", "bbox": [32, 0, 64, 32], "pos_expression": ["blue"],
           "neg_expression": ["red"], "width": 128, "height": 32, "image_id": 1}  # fmt: skip
    put(tmp_path / "fgovd/hard.jsonl", json.dumps(row))
    assert measure(BENCHMARKS["fgovd/hard"], ColourModel(), str(tmp_path)).figures[0].value == 1.0


@pytest.mark.parametrize("name", ["coco_boxes", "lvis_boxes", "fgovd/hard"])
def test_an_image_is_encoded_once_for_all_its_boxes(name: str, tmp_path: Path) -> None:
    model = ColourModel(LAYOUTS[name].words)
    _measured(name, tmp_path, model)
    assert (model.images, model.boxes) == (1, 3)


def test_an_image_with_several_items_is_encoded_once(tmp_path: Path) -> None:
    model = ColourModel()
    result = _measured("sugarcrepe/swap_obj", tmp_path, model)
    assert model.images == 2 and _figure(result, "image_to_text").over == 3


def test_coco_boxes_count_crowds_too(tmp_path: Path) -> None:
    assert _figure(_measured("coco_boxes", tmp_path), "top1").over == 3  # all are crowds


def test_imagenet_counts_the_last_batch(tmp_path: Path) -> None:
    """Seven images, batches of three; the mean of batch means would be another figure."""
    for number in range(7):
        folder = "n01440764" if number < 6 else "n01443537"
        paint(tmp_path / f"imagenet/val/{folder}/{number}.JPEG", "red" if number < 5 else "blue")
    result = measure(BENCHMARKS["imagenet"], ColourModel(IMAGENET), str(tmp_path))
    assert _figure(result, "acc1").over == 7
    assert _figure(result, "acc1").value == pytest.approx(6 / 7)


def test_imagenet_v2_folders_are_class_numbers(tmp_path: Path) -> None:
    """ "10" is class 10, not the third in the order of names."""
    paint(tmp_path / "imagenetv2/10/a.jpeg", "red")
    paint(tmp_path / "imagenetv2/1/a.jpeg", "blue")
    model = ColourModel({"brambling": "red", "goldfish": "blue"})
    result = measure(BENCHMARKS["imagenet_v2"], model, str(tmp_path))
    assert _figure(result, "acc1").value == 1.0


def test_lvis_takes_each_image_from_its_own_split(tmp_path: Path) -> None:
    """And one that is missing is counted and named, with the boxes left over."""
    paint(tmp_path / "lvis/train2017/1.jpg", "red")
    url = "http://images.cocodataset.org/"
    content: dict[str, Any] = {
        "images": [{"id": n, "width": 32, "height": 32, "coco_url": f"{url}{split}2017/{n}.jpg"}
                   for n, split in ((1, "train"), (2, "val"), (3, "train"))],
        "annotations": [{"image_id": n, "bbox": [0, 0, 32, 32], "category_id": 4}
                        for n in (1, 2, 3)],
        "categories": [{"id": 4, "name": "red_cup"}, {"id": 9, "name": "blue_cup"}],
    }  # fmt: skip
    put(tmp_path / "lvis/lvis_v1_val.json", content)
    result = measure(BENCHMARKS["lvis_boxes"], ColourModel(), str(tmp_path))
    assert [one.name for one in result.missing] == ["val2017/2.jpg", "train2017/3.jpg"]
    assert "2 of 3 images are missing; figures are over 1" in result.deviations
    assert _figure(result, "top1").over == 1


@pytest.mark.parametrize("name", ["dci", "sharegpt4v1k"])
def test_images_are_found_without_a_slash_at_the_folders_end(name: str, tmp_path: Path) -> None:
    for root in (tmp_path, Path(f"{tmp_path}/.")):
        assert not _measured(name, root).missing


def test_region_texts_that_are_cut_are_counted(tmp_path: Path) -> None:
    result = _measured("fgovd/hard", tmp_path, ColourModel(limit=11))
    assert "2 region texts are cut to the model's length" in result.deviations


def test_a_perfect_model_gets_1_where_captions_are_equal(tmp_path: Path) -> None:
    """Two red images with one caption: the published way counts half of them wrong."""
    for number, colour in enumerate(("red", "red", "blue"), 1):
        paint(tmp_path / f"urban1k/image/{number}.jpg", colour)
        put(tmp_path / f"urban1k/caption/{number}.txt", f"a {colour} thing\n")
    result = measure(BENCHMARKS["urban1k"], ColourModel(), str(tmp_path))
    for name in ("image_to_text_r@1", "text_to_image_r@1"):
        figure = _figure(result, name)
        assert (figure.value, figure.published) == (1.0, pytest.approx(2 / 3))
    assert _figure(result, "text_to_image_r@1").over == 2
    assert result.notes == ("1 of 3 captions repeat another, and count as one with it",)


def test_classes_of_one_name_count_as_one(tmp_path: Path) -> None:
    """ImageNet has "missile" and "sunglasses" twice."""
    for wnid in ("n03773504", "n04008634"):
        paint(tmp_path / f"imagenet/val/{wnid}/a.JPEG", "red")
    result = measure(BENCHMARKS["imagenet"], ColourModel({"missile": "red"}), str(tmp_path))
    figure = _figure(result, "acc1")
    assert (figure.value, figure.published) == (1.0, 0.5)
    assert any(line.startswith("2 of 1000 classes have the name of another") for line in
               result.notes)  # fmt: skip


def test_a_model_that_scores_everything_alike_gets_0(tmp_path: Path) -> None:
    class Same(ColourModel):
        def encode_images(self, images: Any) -> np.ndarray:
            return np.full((len(images), 4), 0.5, np.float32)

        def encode_texts(self, texts: Any, kind: Any) -> np.ndarray:
            return np.full((len(texts), 4), 0.5, np.float32)

        def encode_boxes(self, images: Any, boxes: Any) -> list[np.ndarray]:
            return [np.full((len(own), 4), 0.5, np.float32) for own in boxes]

    for name in ("urban1k", "coco_boxes", "fgovd/hard", "imagenet", "sugarcrepe/swap_att"):
        result = _measured(name, tmp_path, Same())
        assert result.figures[0].value == 0.0, name
