"""FG-OVD's LVIS-type JSON: an annotation for each region that has hard negatives.

A category is one text, its name the sentence; `category_id` is the true one of an annotation,
`neg_category_ids` are the false ones, at most 10. Equal texts of several regions are categories
of their own, so that memory does not grow.
"""

from __future__ import annotations

from finehard.dataset.reader import Dataset
from finehard.export.json_lists import JsonLists
from finehard.export.target import Target, pixels, usable

NEGATIVES = 10


def write(dataset: Dataset, target: Target) -> None:
    """Writes fgovd.json and the images that have such regions."""
    lists = JsonLists("images", "annotations", "categories")
    texts = annotations = 0

    def category(text: str) -> int:
        nonlocal texts
        texts += 1
        lists.add("categories", {"id": texts, "name": text})
        return texts

    for image_id, sample in enumerate(dataset, 1):
        meta = sample.json
        regions = [each for each in usable(meta, target.counts) if each.negatives]
        target.counts["regions left out: no negatives"] += len(meta["regions"]) - len(regions)
        if not regions:
            target.counts["images left out: no negatives"] += 1
            continue
        image = {
            "id": image_id,
            "file_name": target.add_image(sample),
            "width": meta["image"]["width"],
            "height": meta["image"]["height"],
            "key": meta["key"],
        }
        lists.add("images", image)
        target.counts["images"] += 1
        for region, negatives, _ in regions:
            annotations += 1
            box = pixels(meta, region["box"])
            row = {
                "id": annotations,
                "image_id": image_id,
                "category_id": category(region["short_expr"]),
                "neg_category_ids": [category(n["text"]) for n in negatives[:NEGATIVES]],
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
            }
            lists.add("annotations", row)
            target.counts["negatives left out: more than 10"] += max(0, len(negatives) - NEGATIVES)
    with target.writing("fgovd.json") as file:
        lists.write(file, {"description": "made by finehard"})
    target.counts["annotations"] = annotations
    target.counts["texts"] = texts
