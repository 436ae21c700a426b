"""Readers: webdatasets in a folder and in the Hub's cache, long lists, and the project's files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.benchmarks import folder as folders
from finehard.benchmarks.chosen import choose, folder_of, webdatasets
from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.folder import Absent, Folder, first_of_list
from finehard.benchmarks.items import Boxes, Choices, Pairs
from finehard.benchmarks.readers.boxes import normalised
from finehard.benchmarks.readers.webdataset import place_of
from finehard.benchmarks.run import Result, measure
from finehard.errors import FinehardError
from tests.benchmarks.colours import ColourModel
from tests.benchmarks.layouts import (
    LAYOUTS,
    PAIRS,
    captions,
    fgovd_official,
    npy,
    pictures,
    put,
    webdataset,
)

SHARED = Path(__file__).parents[3] / "shared"
DATA, PHOTOS = SHARED / "data", SHARED / "photos"
NAMES = "red\nblue\ngreen\nyellow\nblack\n"
TEMPLATES = "a {c} thing\n{c}\n"


def _measured(root: Path, name: str) -> Result:
    ((benchmark, required),) = choose([f"wds/{name}"], str(root))
    assert required
    return measure(benchmark, ColourModel(), str(root))


def _values(result: Result) -> dict[str, float]:
    return {one.name: one.value for one in result.figures}


@pytest.mark.parametrize(
    "place",
    [
        "covidx",
        "wds_covidx",
        "wds/covidx",
        "datasets--clip-benchmark--wds_covidx/snapshots/0a1b2c",
    ],
)
def test_classification_from_a_folder_or_the_hubs_cache(place: str, tmp_path: Path) -> None:
    rows = [("red", "cls", b"0"), ("red", "cls", b"0"), ("blue", "cls", b"1\n"),
            ("blue", "cls", b"2")]  # fmt: skip
    webdataset(tmp_path / place, rows, classnames=NAMES,
               zeroshot_classification_templates=TEMPLATES)  # fmt: skip
    assert webdatasets(str(tmp_path)) == ["covidx"]
    expected = {"acc1": 0.75, "acc5": 1.0, "mean_per_class_recall": pytest.approx(2 / 3)}
    assert _values(_measured(tmp_path, "covidx")) == expected


def test_the_hubs_cache_links_to_its_blobs(tmp_path: Path) -> None:
    webdataset(tmp_path / "blobs", [("red", "cls", b"0"), ("blue", "cls", b"1")], classnames=NAMES,
               zeroshot_classification_templates=TEMPLATES)  # fmt: skip
    snapshot = tmp_path / "datasets--clip-benchmark--wds_covidx" / "snapshots" / "0a1b2c"
    files = [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()]
    for number, blob in enumerate(files):
        link = snapshot / blob.relative_to(tmp_path / "blobs")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob.rename(tmp_path / f"blob{number}"))
    assert _values(_measured(tmp_path, "covidx"))["acc1"] == 1.0


def _karpathy_coco(folder: Path) -> None:
    pictures(folder / "val2014")
    images = [
        {"filepath": "val2014", "filename": f"{name}.jpg", "split": "test",
         "sentences": [{"raw": text} for text in captions(name)]} for name in PAIRS
    ]  # fmt: skip
    put(folder / "dataset_coco.json", {"images": images})


def _listed_flickr(folder: Path) -> None:
    pictures(folder / "flickr30k-images")
    rows = [{"image": f"flickr30k-images/{name}.jpg", "caption": captions(name)} for name in PAIRS]
    put(folder / "flickr30k_test.json", rows)


def _official_hard(folder: Path) -> None:
    fgovd_official("1_attributes.json")(folder)
    (folder.parent / "coco").mkdir()
    (folder / "val2017").rename(folder.parent / "coco" / "val2017")


def _lvis_of_coco(folder: Path) -> None:
    LAYOUTS["lvis_boxes"].write(folder)
    (folder.parent / "coco").mkdir()
    (folder / "train2017").rename(folder.parent / "coco" / "train2017")


def _lvis_of_its_own(folder: Path) -> None:
    LAYOUTS["lvis_boxes"].write(folder)
    put(folder.parent / "coco" / "annotations" / "captions_val2017.json", "{}")


def _coco_boxes_in_images(folder: Path) -> None:
    LAYOUTS["coco_boxes"].write(folder)
    (folder / "images").mkdir()
    (folder / "val2017").rename(folder / "images" / "val2017")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("coco", _karpathy_coco),
        ("coco_all_captions", _karpathy_coco),
        ("flickr30k", _listed_flickr),
        ("fgovd/hard", _official_hard),
        ("lvis_boxes", _lvis_of_coco),
        ("lvis_boxes", _lvis_of_its_own),
        ("coco_boxes", _coco_boxes_in_images),
    ],
)
def test_another_layout_gives_the_same_figures(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / BENCHMARKS[name].folder)
    result = measure(BENCHMARKS[name], ColourModel(), str(tmp_path))
    figures, expected = _values(result), LAYOUTS[name].figures
    assert {key: figures[key] for key in expected} == pytest.approx(expected)
    assert not result.missing


def test_names_of_the_hub_have_no_slash(tmp_path: Path) -> None:
    webdataset(tmp_path / "wds_vtab-cifar10", [("red", "cls", b"0")], classnames=NAMES,
               zeroshot_classification_templates=TEMPLATES)  # fmt: skip
    assert _values(_measured(tmp_path, "vtab/cifar10"))["acc1"] == 1.0


def test_multilabel_leaves_out_classes_without_images(tmp_path: Path) -> None:
    """Red's images rank 1 and 2; blue's ranks 1; as published three classes of none count 0."""
    rows = [("red", "npy", npy(1, 0, 0, 0, 0)), ("red", "npy", npy(1, 0, 0, 0, 0)),
            ("blue", "npy", npy(0, 1, 0, 0, 0))]  # fmt: skip
    webdataset(tmp_path / "voc", rows, classnames=NAMES, dataset_type="multilabel\n",
               zeroshot_classification_templates=TEMPLATES)  # fmt: skip
    (figure,) = _measured(tmp_path, "voc").figures
    assert (figure.value, figure.published) == (1.0, pytest.approx(0.4))


def test_multilabel_ties_are_wrong(tmp_path: Path) -> None:
    """Of two red images the first is one, the second is not: as published it ranks first."""
    rows = [("red", "npy", npy(1)), ("red", "npy", npy(0))]
    webdataset(tmp_path / "voc", rows, classnames="red\n", dataset_type="multilabel",
               zeroshot_classification_templates="{c}\n")  # fmt: skip
    (figure,) = _measured(tmp_path, "voc").figures
    assert (figure.value, figure.published) == (0.5, 1.0)


def test_retrieval_has_a_caption_a_line(tmp_path: Path) -> None:
    rows = [("red", "txt", b"a red thing\nred again"), ("blue", "txt", b"a blue thing\n"),
            ("black", "txt", b"")]  # fmt: skip
    webdataset(tmp_path / "pairs", rows, dataset_type="retrieval")
    result = _measured(tmp_path, "pairs")
    assert _values(result)["text_to_image_r@1"] == 1.0 and result.images == 2
    assert result.notes == ("1 images without a caption are left out",)


@pytest.mark.parametrize(
    ("rows", "files", "line"),
    [
        ([("red", "cls", b"7")], {}, "class 7, but 5 names"),
        ([("red", "cls", b"red")], {}, "not in the benchmark's format"),
        ([("red", "json", b"{}")], {}, "has no .cls"),
        ([("red", "cls", b"0")], {"dataset_type": "video"}, "'video' is not one of"),
    ],
)
def test_wrong_webdatasets_are_one_line(
    rows: list[tuple[str, str, bytes]], files: dict[str, str], line: str, tmp_path: Path
) -> None:
    webdataset(tmp_path / "set", rows, classnames=NAMES,
               zeroshot_classification_templates=TEMPLATES, **files)  # fmt: skip
    with pytest.raises(FinehardError, match=line):
        _measured(tmp_path, "set")


def test_a_webdataset_that_is_not_there_is_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no webdataset covidx"):
        place_of(str(tmp_path), "covidx")


def test_a_cut_tar_is_one_line(tmp_path: Path) -> None:
    webdataset(tmp_path / "set", [("red", "cls", b"0")] * 4, classnames=NAMES,
               zeroshot_classification_templates=TEMPLATES)  # fmt: skip
    tar = tmp_path / "set/test/1.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    with pytest.raises(FinehardError, match="1.tar"):
        _measured(tmp_path, "set")


@given(
    st.lists(st.text(max_size=8) | st.lists(st.text(max_size=4), max_size=3)),
    st.integers(0, 6),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_first_entries_of_a_long_list(
    values: list[object], count: int, indent: int | None, escaped: bool
) -> None:
    with tempfile.NamedTemporaryFile() as file:
        text = json.dumps(values, indent=indent, ensure_ascii=escaped)
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        expected = json.loads(Path(file.name).read_text("utf-8"))
        assert first_of_list(file.name, count) == expected[:count]


def test_no_more_of_a_long_list_is_read_than_needed(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    rows = ",".join(json.dumps({"n": n, "text": "é" * 1000}, ensure_ascii=False)
                    for n in range(3000))  # fmt: skip
    path.write_bytes(f"[{rows}".encode() + b", and then it is damaged")
    assert [row["n"] for row in first_of_list(str(path), 1500)] == list(range(1500))
    with pytest.raises(ValueError):
        first_of_list(str(path), 3001)


def test_unfinished_characters_are_left_for_later() -> None:
    for character in ("e", "é", "字", "🙂"):
        data = character.encode()
        for end in range(1, len(data)):
            assert folders._unfinished(b"ab" + data[:end]) == end
        assert folders._unfinished(b"ab" + data) == 0


def test_boxes_stay_in_the_image_and_have_a_pixel() -> None:
    xywh = [[0, 0, 100, 50], [90, 40, 30, 30], [100, 50, 0, 0], [-5, 10, 7, 0.2]]
    boxes = normalised(xywh, 100, 50)
    assert boxes == pytest.approx(
        np.array([[0, 0, 1, 1], [0.9, 0.8, 1, 1], [0.99, 0.98, 1, 1], [0, 0.2, 0.02, 0.22]])
    )


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photographs on this machine")
def test_photographs_in_an_img2dataset_tar_are_a_webdataset(tmp_path: Path) -> None:
    """Of a model that finds no photograph alike, each caption is its own image's only."""
    (tmp_path / "photos/test").mkdir(parents=True)
    (tmp_path / "photos/test/0.tar").write_bytes((PHOTOS / "00000.tar").read_bytes())
    (tmp_path / "photos/test/nshards.txt").write_text("1")
    (tmp_path / "photos/dataset_type.txt").write_text("retrieval")
    ((benchmark, _),) = choose(["wds/photos"], str(tmp_path))
    data = benchmark.read(folder_of(benchmark, str(tmp_path)))
    assert isinstance(data, Pairs)
    order = {text: n for n, pair in enumerate(data.items) for text in pair.captions}

    class Told(ColourModel):
        def encode_images(self, images: Any) -> np.ndarray:
            rows = np.eye(len(data.items), dtype=np.float32)[self.images :][: len(images)]
            assert all(min(image.size) > 100 for image in images)
            self.images += len(images)
            return rows

        def encode_texts(self, texts: Any, kind: Any) -> np.ndarray:
            return np.eye(len(data.items), dtype=np.float32)[[order[text] for text in texts]]

    result = measure(benchmark, Told(), str(tmp_path))
    assert result.images == len(data.items) > 5 and not result.missing
    assert all(figure.value == 1.0 for figure in result.figures)


@pytest.mark.skipif(not DATA.is_dir(), reason="no published files on this machine")
def test_the_published_fgovd_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "fgovd").mkdir()
    (tmp_path / "coco" / "val2017").mkdir(parents=True)
    (tmp_path / "fgovd/easy.jsonl").write_bytes((DATA / "fgovd_easy.jsonl").read_bytes())
    data = BENCHMARKS["fgovd/easy"].read(folder_of(BENCHMARKS["fgovd/easy"], str(tmp_path)))
    assert isinstance(data, Boxes)
    assert sum(len(item.answers) for item in data.items) == 1299
    assert {len(texts) for item in data.items for texts in item.texts} == {11}
    boxes = np.concatenate([item.boxes for item in data.items])
    assert (boxes[:, :2] < boxes[:, 2:]).all() and boxes.min() >= 0 and boxes.max() <= 1
    assert len({item.picture.name for item in data.items}) == len(data.items)


@pytest.mark.skipif(not DATA.is_dir(), reason="no published files on this machine")
def test_the_published_sugarcrepe_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "sugarcrepe").mkdir()
    content = (DATA / "sugarcrepe_replace_att.json").read_bytes()
    (tmp_path / "sugarcrepe/replace_att.json").write_bytes(content)
    (tmp_path / "coco/val2017").mkdir(parents=True)
    benchmark = BENCHMARKS["sugarcrepe/replace_att"]
    data = benchmark.read(Folder(str(tmp_path / "sugarcrepe")))
    assert isinstance(data, Choices) and len(data.items) == 788
    assert data.items[0].false == ("A white toilet and sink combination in a small room.",)
