"""Writes small, complete copies of each benchmark in its layout, with the answers by hand.

Pairs: images red, blue, green and yellow, whose captions name their colours, but yellow's say
green. To the image green, yellow's captions are ties; to yellow, all captions of other images.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.colours import paint, painted

PAIRS = ("red", "blue", "green", "yellow")
SHORT = {"red": "red", "blue": "blue", "green": "green", "yellow": "green"}
"""Image -> the colour in its captions."""
ONE = {"image_to_text_r@1": 0.5, "image_to_text_r@5": 1.0, "text_to_image_r@1": 0.75,
       "text_to_image_r@5": 1.0}  # fmt: skip
"""With a caption an image."""
FIVE = {"image_to_text_r@1": 0.5, "image_to_text_r@5": 0.5, "image_to_text_r@10": 0.75,
        "text_to_image_r@1": 0.75, "text_to_image_r@5": 1.0}  # fmt: skip
"""With five captions an image."""
ALL = {"image_to_text_r@1": 0.75, "text_to_image_r@1": 16 / 21}
"""With yellow's sixth caption too, which says yellow."""


class Layout(NamedTuple):
    """Writes a benchmark into its folder; what a model of colours gets there."""

    write: Callable[[Path], None]
    figures: dict[str, float]
    words: dict[str, str] | None = None


def captions(name: str) -> list[str]:
    """The captions of an image: five, of yellow six."""
    found = [f"{number} {SHORT[name]} things" for number in range(5)]
    if name == "yellow":
        found = [f"{caption} again" for caption in found] + ["a yellow thing"]
    return found


def caption(name: str) -> str:
    """The one caption of an image."""
    return f"A {SHORT[name]} thing{' again' if name == 'yellow' else ''}"


def pictures(folder: Path, suffix: str = ".jpg") -> None:
    """Paints the images of the pairs."""
    for name in PAIRS:
        paint(folder / f"{name}{suffix}", name)


def put(path: Path, content: Any) -> None:
    """Writes text, or JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


def karpathy(folder: Path) -> None:
    pictures(folder / "flickr30k-images")
    images = [
        {"filename": f"{name}.jpg", "split": "test",
         "sentences": [{"raw": text} for text in captions(name)]} for name in PAIRS
    ]  # fmt: skip
    images.append({"filename": "train.jpg", "split": "train", "sentences": [{"raw": "red"}]})
    put(folder / "dataset_flickr30k.json", {"images": images})


def token_file(folder: Path) -> None:
    pictures(folder / "flickr30k-images")
    lines = [f"{n}.jpg#{i}\t{text}" for n in PAIRS for i, text in enumerate(captions(n)[:5])]
    put(folder / "results_20130124.token", "\n".join(lines) + "\n")


def coco(folder: Path) -> None:
    pictures(folder / "val2017")
    annotations = [{"image_id": number, "caption": text}
                   for number, name in enumerate(PAIRS) for text in captions(name)]  # fmt: skip
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in enumerate(PAIRS)]
    put(folder / "annotations" / "captions_val2017.json",
        {"images": images, "annotations": annotations})  # fmt: skip


def dci(folder: Path) -> None:
    pictures(folder / "photos")
    for name in PAIRS:
        row = {"image": f"{name}.jpg", "short_caption": "", "extra_caption": caption(name)}
        put(folder / "annotations" / f"{name}.json", row)


def dci_both(folder: Path) -> None:
    """The colour is in the short caption only."""
    dci(folder)
    for name in PAIRS:
        row = {"image": f"{name}.jpg", "short_caption": caption(name), "extra_caption": name[0]}
        put(folder / "annotations" / f"{name}.json", row)


def urban(folder: Path) -> None:
    for number, name in enumerate(PAIRS, 1):
        paint(folder / "image" / f"{number}.jpg", name)
        put(folder / "caption" / f"{number}.txt", f"{caption(name)}\nA second line: black.\n")


def sharegpt4v(folder: Path) -> None:
    pictures(folder / "images")
    rows = [
        {"image": f"sam/images/{name}.jpg",
         "conversations": [{"value": "What is it?"}, {"value": caption(name)}]} for name in PAIRS
    ]  # fmt: skip
    put(folder / "share-captioner_coco_lcs_sam_1246k_1107.json", rows)


def docci(folder: Path) -> None:
    pictures(folder / "images")
    rows = [{"example_id": n, "split": "test", "image_file": f"{n}.jpg", "description": caption(n)}
            for n in PAIRS]  # fmt: skip
    rows.append({**rows[0], "split": "train"})
    put(folder / "docci_descriptions.jsonlines", "\n".join(map(json.dumps, rows)))


def iiw(part: str, suffix: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        pictures(folder / part / "images")
        key = "image" if suffix else "image/key"
        rows = [json.dumps({key: f"{name}{suffix}", "IIW": caption(name)}) for name in PAIRS]
        put(folder / part / "data.jsonl", "\n".join(rows))

    return write


def chinese(file: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        pictures(folder / "images")
        words = {"red": "红", "blue": "蓝", "green": "绿"}
        lines = [f"some/where/{name}.jpg\t{words[SHORT[name]]}色的东西{'二' * (name == 'yellow')}"
                 for name in PAIRS]  # fmt: skip
        put(folder / file, "\n".join(lines))

    return write


def chinese_flickr(folder: Path) -> None:
    """As published: "ID#n" for caption n of ID.jpg, and the images beside Flickr30K."""
    pictures(folder.parent / "flickr30k" / "flickr30k-images")
    words = {"red": "红", "blue": "蓝", "green": "绿"}
    lines = [f"{name}#{n}\t{words[SHORT[name]]}色的东西{n}{'二' * (name == 'yellow')}"
             for name in PAIRS for n in range(5)]  # fmt: skip
    put(folder / "flickr30k_cna_test.txt", "\n".join(lines))


CHINESE = {"红": "red", "蓝": "blue", "绿": "green"}


def boxes(file: str, names: tuple[str, ...], picture: str, **image: str) -> Callable[[Path], None]:
    """An image of red and blue: boxes red, blue, and one that is blue but called green."""

    def write(folder: Path) -> None:
        paint(folder / picture, "red", "blue")
        rows = [(1, [2, 2, 20, 20], 7), (1, [40, 0, 24, 32], 3), (1, [34, 4, 20, 20], 5)]
        annotations = [{"image_id": i, "bbox": b, "category_id": c, "iscrowd": 1}
                       for i, b, c in rows]  # fmt: skip
        red, blue, green = names
        categories = [{"id": 7, "name": red}, {"id": 3, "name": blue}, {"id": 5, "name": green}]
        images = [{"id": 1, "width": 64, "height": 32, **image},
                  {"id": 2, "width": 9, "height": 9, "file_name": "no boxes.jpg"}]  # fmt: skip
        put(folder / file,
            {"images": images, "annotations": annotations, "categories": categories})  # fmt: skip

    return write


def fgovd_rows(file: str) -> Callable[[Path], None]:
    """Boxes red (right), blue (right), and red with a false text that is a tie."""

    def write(folder: Path) -> None:
        paint(folder / "val2017" / "1.jpg", "red", "blue")
        rows = []
        for box, true, false in (
            ([0, 0, 32, 32], "a red thing", ["a blue thing", "a green thing"]),
            ([32, 0, 32, 32], "a blue thing", ["a red thing"]),
            ([0, 0, 32, 32], "a red cup", ["a red mug", "a blue cup"]),
        ):
            rows.append({"img_path": "val2017/1.jpg", "bbox": box, "pos_expression": [true],
                         "neg_expression": false, "width": 64, "height": 32,
                         "image_id": 1})  # fmt: skip
        put(folder / file, "\n".join(map(json.dumps, rows)))

    return write


def fgovd_official(file: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        paint(folder / "val2017" / "1.jpg", "red", "blue")
        texts = ["a red thing", "a blue thing", "a green thing", "a red cup", "a red mug"]
        annotations = [
            {"image_id": 1, "bbox": [0, 0, 32, 32], "category_id": 0, "neg_category_ids": [1, 2]},
            {"image_id": 1, "bbox": [32, 0, 32, 32], "category_id": 1, "neg_category_ids": [0]},
            {"image_id": 1, "bbox": [0, 0, 32, 32], "category_id": 3, "neg_category_ids": [4, 1]},
            {"image_id": 1, "bbox": [0, 0, 32, 32], "category_id": 3, "neg_category_ids": []},
        ]
        url = "http://images.cocodataset.org/val2017/1.jpg"
        put(folder / file, {
            "images": [{"id": 1, "width": 64, "height": 32, "coco_url": url}],
            "annotations": annotations,
            "categories": [{"id": n, "name": text} for n, text in enumerate(texts)],
        })  # fmt: skip

    return write


IMAGENET = {"tench": "red", "goldfish": "blue", "hammerhead": "green"}
"""Words of the classes 0, 1 and 4."""


def imagenet(folders: dict[str, str]) -> Callable[[Path], None]:
    """Tench: a red image and a wrong one; goldfish: a right one; hammerhead: a wrong one."""

    def write(folder: Path) -> None:
        for name, suffix in (("tench", "JPEG"), ("goldfish", "JPEG"), ("hammerhead", "JPEG")):
            paint(folder / folders[name] / f"a.{suffix}", "blue" if name == "goldfish" else "red")
        paint(folder / folders["tench"] / "b.JPEG", "blue")

    return write


ACCURACY = {"acc1": 0.5, "acc5": 0.5, "mean_per_class_recall": 0.5}


def sugarcrepe(part: str, two: bool = False) -> Callable[[Path], None]:
    """Items red (right), blue (wrong) and red (a tie)."""

    def write(folder: Path) -> None:
        pictures(folder / "val2017")
        rows = [("red", "a red thing", "a blue thing"), ("blue", "a red thing", "a blue thing"),
                ("red", "a red cup", "a red mug")]  # fmt: skip
        items = {
            str(number): {"filename": f"{name}.jpg", "caption": true, "negative_caption": false,
                          **({"caption2": f"{true} again"} if two else {})}
            for number, (name, true, false) in enumerate(rows)
        }  # fmt: skip
        put(folder / f"{part}.json", items)

    return write


LONG = {
    "red": "A red thing. Beside it stands a green lamp.",
    "blue": "A blue thing. A yellow leather bag lies on the floor.",
    "green": "A green thing.",
    "yellow": "A thing. There is a wooden table.",
}
"""Half truths: red and blue are right, green gives none, yellow's true text is no colour's: a
tie."""
WORDS = {"red": "red", "blue": "blue", "green": "green", "lamp": "black", "bag": "black"}
"""What the model knows of them."""


def long_texts(write: Callable[[Path], None]) -> Callable[[Path], None]:
    """Returns `write` with the captions of `LONG`."""

    def rewritten(folder: Path) -> None:
        write(folder)
        for file in [f for f in folder.rglob("*") if f.suffix in (".json", ".txt", ".jsonlines")]:
            text = file.read_text("utf-8")
            for name in PAIRS:
                text = text.replace(f'"{caption(name)}"', json.dumps(LONG[name]))
                text = text.replace(f"{caption(name)}\n", f"{LONG[name]}\n")
            file.write_text(text, "utf-8")

    return rewritten


def webdataset(folder: Path, rows: list[tuple[str, str, bytes]], **files: str) -> None:
    """Writes rows of (colour, ending, label) as `webdataset_of` does."""
    webdataset_of(folder, [(painted(colour), *rest) for colour, *rest in rows], **files)


def webdataset_of(folder: Path, rows: list[Any], **files: str) -> None:
    """Writes a test split of two shards: rows of (PNG, ending, label); in order."""
    for name, content in files.items():
        put(folder / f"{name}.txt", content)
    put(folder / "test" / "nshards.txt", "2\n")
    half = (len(rows) + 1) // 2
    for shard in range(2):
        with tarfile.open(folder / "test" / f"{shard}.tar", "w") as tar:
            for number, (png, ending, label) in enumerate(rows[shard * half : (shard + 1) * half]):
                for suffix, data in (("png", png), (ending, label)):
                    info = tarfile.TarInfo(f"s{number:07d}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def npy(*values: int) -> bytes:
    """Returns an array as a .npy file."""
    out = io.BytesIO()
    np.save(out, np.array(values))
    return out.getvalue()


def panoptic(folder: Path) -> None:
    """Things: two red, one of which is called blue, and a blue one; stuff: green, called red; and
    a box that is too small to count."""
    paint(folder / "val2017" / "1.jpg", "red", "blue")
    categories = [("red", 1, 5), ("blue", 1, 2), ("green", 0, 9), ("yellow-other-merged", 0, 7)]
    rows = [([2, 2, 20, 20], 5), ([4, 4, 20, 20], 2), ([40, 0, 24, 32], 2), ([40, 2, 20, 20], 9),
            ([2, 2, 7, 9], 7)]  # fmt: skip
    put(folder / "annotations" / "panoptic_val2017.json", {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 64, "height": 32}],
        "categories": [{"id": i, "name": n, "isthing": t} for n, t, i in categories],
        "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": [
            {"id": n, "bbox": b, "category_id": c, "iscrowd": 0} for n, (b, c) in enumerate(rows)
        ]}],
    })  # fmt: skip


_NAMES = ("red", "blue", "green")
_BOX = {"top1": 2 / 3, "top5": 1.0}
_FGOVD = Layout(fgovd_rows("hard.jsonl"), {"top1": 2 / 3})
_CREPE = {"image_to_text": 1 / 3}
_HALF = {"image_to_text": 2 / 3}

LAYOUTS: dict[str, Layout] = {
    "flickr30k": Layout(karpathy, FIVE),
    "flickr30k_full": Layout(token_file, FIVE),
    "coco": Layout(coco, FIVE),
    "coco_all_captions": Layout(coco, ALL),
    "dci": Layout(dci, ONE),
    "dci_short_and_long": Layout(dci_both, ONE),
    "urban1k": Layout(urban, ONE),
    "sharegpt4v1k": Layout(sharegpt4v, ONE),
    "docci": Layout(docci, ONE),
    "iiw/docci": Layout(iiw("DOCCI_Test", ".jpg"), ONE),
    "iiw/400": Layout(iiw("IIW-400", ""), ONE),
    "iiw/dci": Layout(iiw("DCI_Test", ".jpg"), ONE),
    "chinese/flickr30k_cna": Layout(chinese_flickr, FIVE, CHINESE),
    "chinese/coco_cn": Layout(chinese("pair.txt"), ONE, CHINESE),
    "chinese/dci_cn": Layout(chinese("image_caption_trans.txt"), ONE, CHINESE),
    "chinese/docci_cn": Layout(chinese("image_caption_trans.txt"), ONE, CHINESE),
    "chinese/lit_cn": Layout(chinese("image_caption_long_cn.txt"), ONE, CHINESE),
    "coco_boxes": Layout(
        boxes("annotations/instances_val2017.json", _NAMES, "val2017/1.jpg", file_name="1.jpg"),
        _BOX,
    ),
    "lvis_boxes": Layout(
        boxes("lvis_v1_val.json", ("red_cup", "blue_cup", "green_cup"), "train2017/1.jpg",
              coco_url="http://images.cocodataset.org/train2017/1.jpg"), _BOX,
    ),
    "chinese/box_class_cn": Layout(
        boxes("valid_category_data_total_zh.json", ("红", "蓝", "绿"), "images/1.jpg",
              file_name="1.jpg"), _BOX, CHINESE,
    ),
    "panoptic_boxes/things": Layout(panoptic, {"macc1": 0.75, "macc5": 1.0}),
    "panoptic_boxes/stuff": Layout(panoptic, {"macc1": 0.0, "macc5": 1.0}),
    "fgovd/hard": _FGOVD,
    "fgovd/medium": Layout(fgovd_rows("2_attributes_llava.jsonl"), {"top1": 2 / 3}),
    "fgovd/easy": Layout(fgovd_official("3_attributes.json"), {"top1": 2 / 3}),
    "fgovd/trivial": Layout(fgovd_official("shuffle_negatives.json"), {"top1": 2 / 3}),
    "imagenet": Layout(
        imagenet({"tench": "val/n01440764", "goldfish": "val/n01443537",
                  "hammerhead": "val/n01494475"}), ACCURACY, IMAGENET,
    ),
    "imagenet_v2": Layout(
        imagenet({"tench": "0", "goldfish": "1", "hammerhead": "4"}), ACCURACY, IMAGENET
    ),
    **{
        f"sugarcrepe/{part}": Layout(sugarcrepe(part), _CREPE)
        for part in ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel",
                     "swap_att", "swap_obj")
    },
    **{
        f"sugarcrepe_pp/{part}": Layout(sugarcrepe(part, True), {**_CREPE, "text_to_text": 2 / 3})
        for part in ("replace_attribute", "replace_object", "replace_relation", "swap_object")
    },
    "sugarcrepe_pp/swap_attribute": Layout(  # as its published file is called
        sugarcrepe("swap_atribute", True), {**_CREPE, "text_to_text": 2 / 3}
    ),
    "half_truths/dci": Layout(long_texts(dci), _HALF, WORDS),
    "half_truths/docci": Layout(long_texts(docci), _HALF, WORDS),
    "half_truths/urban1k": Layout(long_texts(urban), _HALF, WORDS),
    "half_truths/sharegpt4v1k": Layout(long_texts(sharegpt4v), _HALF, WORDS),
}  # fmt: skip
"""By benchmark."""
