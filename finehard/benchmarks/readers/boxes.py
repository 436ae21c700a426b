"""Reads images with boxes: of a list of classes, or each with texts of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finehard.benchmarks.folder import Absent, Folder, json_lines, parsed, read_json
from finehard.benchmarks.items import Boxed, Boxes, ClassList, Picture
from finehard.errors import FinehardError

Read = Callable[[Folder], Boxes]
Texts = tuple[str, ...]


def normalised(boxes: Iterable[Sequence[float]], width: int, height: int) -> NDArray[np.float64]:
    """Returns (k, 4) boxes, xywh in pixels, as xyxy from 0 to 1, each at least a pixel wide and
    high."""
    xywh = np.array([list(box) for box in boxes], np.float64).reshape(-1, 4)
    size = np.array([width, height], np.float64)
    first = np.clip(xywh[:, :2], 0, size - 1)
    last = np.clip(xywh[:, :2] + xywh[:, 2:], first + 1, size)
    return np.concatenate([first / size, last / size], 1)


def coco_path(image: dict[str, Any]) -> str:
    """Returns SPLIT/NAME of an image of COCO or LVIS: from its URL, which alone tells the split."""
    url = image.get("coco_url")
    return "/".join(url.split("/")[-2:]) if url else image["file_name"]


def by_id(categories: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Returns the categories of a COCO-like JSON in the order of their ids, and the place of each
    id."""
    ordered = sorted(categories, key=lambda one: one["id"])
    return ordered, {one["id"]: n for n, one in enumerate(ordered)}


def coco_boxes(
    files: tuple[str, ...],
    images: tuple[str, ...],
    path: Callable[[dict[str, Any]], str],
    name: Callable[[str], str] = str,
    templates: tuple[str, ...] = ("{c}",),
    splits: tuple[str, ...] = ("",),
) -> Read:
    """Reads all annotations of a COCO-like JSON; the classes are its categories, in the order of
    their ids, called `name` of their names. `path` tells an image's file, below the first of the
    folders `images` that has one of the folders `splits`."""

    def read(folder: Folder) -> Boxes:
        uri = folder.find(*files)
        place = folder.folder(*images, inside=splits)

        def all_boxes() -> Boxes:
            content = read_json(uri)
            categories, number = by_id(content["categories"])
            of_image = defaultdict(list)
            for annotation in content["annotations"]:
                of_image[annotation["image_id"]].append(annotation)
            items = [
                Boxed(
                    place.picture(path(image)),
                    normalised((a["bbox"] for a in own), image["width"], image["height"]),
                    tuple(number[a["category_id"]] for a in own),
                )
                for image in content["images"]
                if (own := of_image[image["id"]])
            ]
            names = tuple(name(one["name"]) for one in categories)
            return Boxes(items, ClassList(names, templates))

        return parsed(uri, all_boxes)

    return read


def fgovd(
    rows: tuple[str, ...],
    official: tuple[str, ...],
    images: tuple[str, ...],
    splits: tuple[str, ...] = ("",),
) -> Read:
    """Reads FG-OVD: the JSON Lines of `rows`, else the official JSON of `official`; images as
    `coco_boxes` finds them."""

    def read(folder: Folder) -> Boxes:
        place = folder.folder(*images, inside=splits)
        try:
            uri = folder.find(*rows)
        except Absent:
            uri = folder.find(*official)
            return parsed(uri, lambda: _official(read_json(uri), place))
        return parsed(uri, lambda: _rows(json_lines(uri), place))

    return read


def _rows(rows: Iterable[dict[str, Any]], place: Folder) -> Boxes:
    boxes: dict[str, list[tuple[Sequence[float], Texts]]] = defaultdict(list)
    sizes = {}
    for row in rows:
        texts = (row["pos_expression"][0], *row["neg_expression"])
        boxes[row["img_path"]].append((row["bbox"], texts))
        sizes[row["img_path"]] = row["width"], row["height"]
    return Boxes([_of_image(place.picture(path), boxes[path], sizes[path]) for path in boxes])


def _official(content: dict[str, Any], place: Folder) -> Boxes:
    names = {one["id"]: one["name"] for one in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    boxes: dict[int, list[tuple[Sequence[float], Texts]]] = defaultdict(list)
    without = 0
    for annotation in content["annotations"]:
        texts = [names[n] for n in (annotation["category_id"], *annotation["neg_category_ids"])]
        if len(texts) == 1:
            without += 1
            continue
        boxes[annotation["image_id"]].append((annotation["bbox"], tuple(texts)))
    items = []
    for number, own in boxes.items():
        image = images[number]
        path = coco_path(image)
        picture = place.picture(path if "/" in path else f"val2017/{path}")
        items.append(_of_image(picture, own, (image["width"], image["height"])))
    notes = (f"{without:,} annotations without false texts are left out",) if without else ()
    return Boxes(items, None, notes)


def _of_image(
    picture: Picture, own: list[tuple[Sequence[float], Texts]], size: tuple[int, int]
) -> Boxed:
    boxes = normalised((box for box, _ in own), *size)
    if any(len(texts) < 2 for _, texts in own):
        raise FinehardError(f"{picture.name}: a box without false texts")
    return Boxed(picture, boxes, (0,) * len(own), tuple(texts for _, texts in own))
