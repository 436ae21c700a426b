"""Exports, each read by the program that it is for, or by the logic of its published reader."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from finehard.cli import main
from finehard.dataset.reader import Dataset, open_dataset
from finehard.errors import FinehardError, UsageError
from finehard.export.export import export
from finehard.export.formats import FORMATS
from finehard.export.target import Target
from tests.export.made import SAMPLES, dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset, not to be changed."""
    return dataset(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def samples(made: Path) -> dict[str, Any]:
    """Its samples by key."""
    return {sample.key: sample for sample in open_dataset(made)}


def _confirmed(sample: Any) -> list[dict[str, Any]]:
    return [r for r in sample.json["regions"] if r["verified"] is not False]


def _is_picture(found: Image.Image, sample: Any) -> bool:
    """Whether `found`, opened without regard to EXIF, is what the sample displays."""
    shown = np.asarray(sample.image(), dtype=int)
    pixels = np.asarray(found.convert("RGB"), dtype=int)
    return pixels.shape == shown.shape and bool(np.abs(pixels - shown).mean() < 3)


# the published reader


def _published_items(folder: Path) -> list[dict[str, Any]]:
    return [item for file in sorted(folder.glob("jsonfiles/*.json"))
            for item in json.loads(file.read_text("utf-8"))]  # fmt: skip


def _as_published(item: dict[str, Any], root: Path, side: int) -> dict[str, Any]:
    """What the published data class takes from an item: its four boxes, texts, 11 texts each."""
    image = Image.open(root / item["f_path"]).convert("RGB").resize((side, side))
    boxes, texts, hard = np.zeros((4, 4)), [], []
    for number, info in enumerate(item["bbox_info"][:4]):
        boxes[number] = np.array(info["bbox"][:4])
        texts.append(random.choice((info["short_expr"], info["long_expr"])))
        if info["flag_short_neg"] == 1:
            hard.append([info["short_expr"], *info["short_expr_negs"].values()])
    return {"image": image, "long": item["caption"], "short": "a photo of " + item["short_caption"],
            "boxes": boxes, "texts": texts, "hard": hard}  # fmt: skip


def test_the_published_reader_reads_every_item(
    made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    counts = export(str(made), str(tmp_path), "release")
    items = _published_items(tmp_path)
    by_caption = {s.json["long_caption"]: s for s in samples.values()}
    assert len(items) == SAMPLES == counts["items"]
    flagged = 0
    for item in items:
        read, sample = _as_published(item, tmp_path, 16), by_caption[item["caption"]]
        regions = _confirmed(sample)
        assert read["boxes"][: len(regions)].tolist() == [r["box"] for r in regions]
        assert read["short"] == "a photo of " + sample.json["short_caption"]
        for text, region in zip(read["texts"], regions, strict=True):
            assert text in (region["short_expr"], region["long_expr"])
        for texts in read["hard"]:
            assert len(texts) == len(set(texts)) == 11 and texts[0] == "a red mug"
        flagged += len(read["hard"])
        assert _is_picture(Image.open(tmp_path / item["f_path"]), sample)
        for info, region in zip(item["bbox_info"], regions, strict=True):
            true = {n["text"] for n in region["hard_negatives"] if n["verified"] is False}
            assert not true & set(info["short_expr_negs"].values())
    assert flagged == counts["regions with 10 negatives"] == 18
    assert counts["images turned upright"] == 3
    assert counts["negatives left out: not confirmed"] == 8
    assert counts["negatives left out: more than 10"] == 8


# open_clip


@pytest.mark.parametrize("caption", ["long", "short", "mixed"])
def test_open_clip_loads_all_samples(
    caption: str, made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    data = pytest.importorskip("open_clip_train.data")
    export(str(made), str(tmp_path), "open_clip", caption)  # type: ignore[arg-type]
    sizes = json.loads((tmp_path / "sizes.json").read_text())
    assert sum(sizes.values()) == SAMPLES == data.get_dataset_size(_braces(sizes, tmp_path))[0]
    arguments = SimpleNamespace(
        train_data=None, val_data=_braces(sizes, tmp_path), val_num_samples=SAMPLES,
        batch_size=5, workers=0, seed=0, world_size=1,
    )  # fmt: skip
    loaded = data.get_wds_dataset(
        arguments, lambda image: image, False, tokenizer=lambda text: [text]
    )
    pairs = [(image, text) for images, texts in _unbatched(loaded) for image, text in
             zip(images, texts, strict=True)]  # fmt: skip
    assert len(pairs) == SAMPLES
    kinds = set()
    for image, text in pairs:
        [(kind, sample)] = [
            (k, s) for s in samples.values() for k in ("long", "short")
            if s.json[f"{k}_caption"] == text
        ]  # fmt: skip
        kinds.add(kind)
        assert _is_picture(image, sample)
    assert kinds == ({"long", "short"} if caption == "mixed" else {caption})


def _braces(sizes: dict[str, int], folder: Path) -> str:
    return f"{folder}/finehard-{{00000..{len(sizes) - 1:05d}}}-of-{len(sizes):05d}.tar"


def _unbatched(loaded: Any) -> Iterator[tuple[list[Any], list[str]]]:
    import webdataset

    # the stages before open_clip's WebLoader, whose collation wants tensors
    pipeline = [stage for stage in loaded.dataloader.pipeline[0].dataset.pipeline]
    batched = webdataset.batched(5, partial=True, collation_fn=lambda rows: list(zip(*rows)))  # noqa: B905
    yield from webdataset.DataPipeline(*pipeline[:-1], batched)


def test_open_clip_reads_the_csv(made: Path, samples: dict[str, Any], tmp_path: Path) -> None:
    data = pytest.importorskip("open_clip_train.data")
    export(str(made), str(tmp_path), "csv", "short")
    read = data.CsvDataset(
        str(tmp_path / "captions.csv"), lambda image: image, "filepath", "title",
        tokenizer=lambda texts: texts,
    )  # fmt: skip
    assert len(read) == SAMPLES
    for (image, text), sample in zip(read, samples.values(), strict=True):
        assert text == sample.json["short_caption"] and _is_picture(image, sample)


# COCO and LVIS types


def test_pycocotools_reads_boxes_and_captions(
    made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    export(str(made), str(tmp_path), "coco")
    boxes = coco.COCO(str(tmp_path / "annotations/instances.json"))
    captions = coco.COCO(str(tmp_path / "annotations/captions.json"))
    images = boxes.loadImgs(boxes.getImgIds())
    assert len(images) == SAMPLES == len(captions.getImgIds())
    for image in images:
        sample = samples[image["key"]]
        opened = Image.open(tmp_path / image["file_name"])
        assert opened.size == (image["width"], image["height"]) and _is_picture(opened, sample)
        found = boxes.loadAnns(boxes.getAnnIds(image["id"]))
        for row, region in zip(found, _confirmed(sample), strict=True):
            x, y, width, height = row["bbox"]
            corners = (x, y, x + width, y + height)
            fractions = [
                corner / side for corner, side in zip(corners, opened.size * 2, strict=True)
            ]
            assert fractions == pytest.approx(region["box"], abs=1e-3)
            [category] = boxes.loadCats(row["category_id"])
            assert category["name"] == region["phrase"].lower()
        texts = {row["caption"] for row in captions.imgToAnns[image["id"]]}
        assert texts == {sample.json["short_caption"], sample.json["long_caption"]}


def test_fgovd_has_each_region_with_its_negatives(
    made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    counts = export(str(made), str(tmp_path), "fgovd")
    read = json.loads((tmp_path / "fgovd.json").read_text("utf-8"))
    names = {row["id"]: row["name"] for row in read["categories"]}
    keys = {row["id"]: row["key"] for row in read["images"]}
    assert len(names) == len(read["categories"]) == counts["texts"]
    expected = [
        (key, r["short_expr"], [n["text"] for n in r["hard_negatives"] if n["verified"]][:10])
        for key, sample in samples.items() for r in _confirmed(sample) if r["hard_negatives"]
    ]  # fmt: skip
    found = [
        (keys[row["image_id"]], names[row["category_id"]],
         [names[n] for n in row["neg_category_ids"]])
        for row in read["annotations"]
    ]  # fmt: skip
    assert found == expected and counts["images left out: no negatives"] == 2


# grounding


def test_conversations_name_and_find_every_region(
    made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    export(str(made), str(tmp_path), "llava")
    rows = [json.loads(line) for line in (tmp_path / "conversations.jsonl").open("rb")]
    assert [row["id"] for row in rows] == list(samples)
    for row in rows:
        sample, said = samples[row["id"]], row["conversations"]
        assert [turn["from"] for turn in said] == ["human", "gpt"] * (len(said) // 2)
        assert [t["value"].count("<image>") for t in said] == [1] + [0] * (len(said) - 1)
        boxes = [json.loads(turn["value"]) for turn in said[7::4]]
        assert boxes == [pytest.approx(r["box"], abs=5e-4) for r in _confirmed(sample)]
        assert (tmp_path / row["image"]).exists()


def test_grounded_spans_are_the_regions_texts(
    made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    counts = export(str(made), str(tmp_path), "grit")
    rows = [json.loads(line) for line in (tmp_path / "grounded.jsonl").open("rb")]
    spans = {row["caption"][int(s) : int(e)] for row in rows for s, e, *_ in row["ref_exps"]}
    assert spans == {"a red mug", "a table"} and counts["captions"] == SAMPLES
    for row in rows:
        regions = _confirmed(samples[row["key"]])
        assert [chunk[2:] for chunk in row["noun_chunks"]] == [
            [*region["box"], region["score"]] for region in regions
        ]


# Hugging Face


@pytest.mark.slow
def test_datasets_loads_images_and_regions(
    made: Path, samples: dict[str, Any], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    export(str(made), str(tmp_path / "hf"), "hf")
    loaded = datasets.load_dataset(
        str(tmp_path / "hf"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert [row["key"] for row in loaded] == list(samples)
    for row in loaded:
        sample = samples[row["key"]]
        assert row["regions"] == sample.json["regions"] and _is_picture(row["image"], sample)
        assert row["url"] == sample.json["image"]["url"]


@pytest.mark.slow
def test_imagefolder_loads_the_jsonl(made: Path, samples: dict[str, Any], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export(str(made), str(tmp_path / "jsonl"), "jsonl")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "jsonl"), split="train",
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    assert {row["key"] for row in loaded} == set(samples)
    row = loaded[0]
    assert row["short_caption"] == samples[row["key"]].json["short_caption"]


# the command


def test_every_format_leaves_a_dataset_as_it_was(made: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    for name in FORMATS:
        assert main(["export", "--to", name, str(made), str(tmp_path / name)]) == 0
    assert {p: p.read_bytes() for p in made.rglob("*") if p.is_file()} == before


def test_an_export_has_the_same_bytes_again(made: Path, tmp_path: Path) -> None:
    for name in FORMATS.keys() - {"csv"}:  # which holds its own paths
        found = []
        for turn in "ab":
            folder = tmp_path / name / turn
            export(str(made), str(folder), name)
            found.append({p.relative_to(folder): p.read_bytes()
                          for p in folder.rglob("*") if p.is_file()})  # fmt: skip
        assert found[0] == found[1], name


def test_a_folder_with_files_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    assert main(["export", "--to", "coco", str(made), str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


def test_an_unknown_format_is_refused_by_name(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'yolo' is not one of release, open_clip"):
        export(str(made), str(tmp_path / "out"), "yolo")
    with pytest.raises(UsageError, match="cannot import nowhere"):
        export(str(made), str(tmp_path / "out"), "nowhere:write")


def write_keys(dataset: Dataset, target: Target) -> None:
    """A user's own format."""
    with target.writing("keys.txt") as file:
        for sample in dataset:
            file.write(f"{sample.key}\n".encode())
            target.counts["keys"] += 1


def test_a_users_own_format_is_written(made: Path, tmp_path: Path) -> None:
    counts = export(str(made), str(tmp_path), "tests.export.test_export:write_keys")
    assert counts == {"keys": SAMPLES}
    assert len((tmp_path / "keys.txt").read_text().split()) == SAMPLES


def test_a_path_outside_is_not_written_to(made: Path, tmp_path: Path) -> None:
    sample = next(iter(open_dataset(made)))
    for path in ("../x.jpg", "/tmp/x.jpg", "a//b.jpg", "a/./b.jpg", "", "a\\..\\b.jpg"):
        written = Target(str(tmp_path / "out")).add_image(sample, path)
        assert written.startswith("images/") and (tmp_path / "out" / written).exists()
    assert Target(str(tmp_path / "out")).add_image(sample, "a/b.jpg") == "a/b.jpg"


def test_a_damaged_shard_ends_the_export_in_a_line(made: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    shard = min((copy / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(FinehardError) as raised:
        export(str(copy), str(tmp_path / "out"), "coco")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out/annotations").exists()


def test_tars_hold_image_json_and_text(made: Path, tmp_path: Path) -> None:
    export(str(made), str(tmp_path), "open_clip", "short")
    with tarfile.open(min(tmp_path.glob("*.tar"))) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    key = min(members).split(".")[0]
    meta = json.loads(members[f"{key}.json"])
    assert members[f"{key}.txt"].decode() == meta["short_caption"]
    image = next(v for k, v in members.items() if k.startswith(key) and k[-3:] in ("jpg", "png"))
    assert Image.open(io.BytesIO(image)).size == (meta["image"]["width"], meta["image"]["height"])
