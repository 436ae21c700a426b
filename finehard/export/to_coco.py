"""COCO's JSON: boxes as detections, captions as captions.

A category is a detected phrase, normalised; each annotation has its texts and score as well. Boxes
are x, y, width, height in pixels; there are no masks.
"""

from __future__ import annotations

from finehard.dataset.reader import Dataset
from finehard.export.json_lists import JsonLists
from finehard.export.target import Target, pixels, usable
from finehard.negatives.swap import normal

_INFO = {"description": "made by finehard; texts and boxes are written by models"}


def write(dataset: Dataset, target: Target) -> None:
    """Writes annotations/instances.json, annotations/captions.json (a short and a long caption for
    each image) and the images. Holds the distinct phrases in memory."""
    categories: dict[str, int] = {}
    instances = JsonLists("images", "annotations", "categories")
    captions = JsonLists("images", "annotations")
    numbers = {"instances": 0, "captions": 0}
    for image_id, sample in enumerate(dataset, 1):
        meta = sample.json
        image = {
            "id": image_id,
            "file_name": target.add_image(sample),
            "width": meta["image"]["width"],
            "height": meta["image"]["height"],
            "key": meta["key"],
            "coco_url": meta["image"]["url"] or "",
        }
        target.counts["images"] += 1
        for lists in (instances, captions):
            lists.add("images", image)
        for kind in ("short", "long"):
            numbers["captions"] += 1
            text = meta[f"{kind}_caption"]
            row = {"id": numbers["captions"], "image_id": image_id, "caption": text, "kind": kind}
            captions.add("annotations", row)
        for region, *_ in usable(meta, target.counts):
            numbers["instances"] += 1
            name = normal(region["phrase"])
            box = pixels(meta, region["box"])
            row = {
                "id": numbers["instances"],
                "image_id": image_id,
                "category_id": categories.setdefault(name, len(categories) + 1),
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
                "score": region["score"],
                "short_expr": region["short_expr"],
                "long_expr": region["long_expr"],
            }
            instances.add("annotations", row)
    for name, number in categories.items():
        instances.add("categories", {"id": number, "name": name, "supercategory": ""})
    for kind, lists in (("instances", instances), ("captions", captions)):
        with target.writing(f"annotations/{kind}.json") as file:
            lists.write(file, _INFO)
        target.counts[kind] = numbers[kind]
    target.counts["categories"] = len(categories)
