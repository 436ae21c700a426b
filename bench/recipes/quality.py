"""How true a dataset of rendered scenes is: its captions, boxes, texts of regions, negatives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from bench.recipes.models import is_true, is_true_of_scene
from bench.recipes.world import World
from finehard.boxes import iou
from finehard.dataset.reader import open_dataset
from finehard.demo.world import KINDS
from finehard.texts.statements import statements

FIGURES = (
    "images", "caption statements", "caption statements true", "long captions true",
    "short captions true", "regions an image", "boxes right", "region texts true",
    "region captions true", "negatives a region", "negatives true too",
    "negatives with another noun",
)  # fmt: skip


def quality(dataset: Path, world: World) -> dict[str, float]:
    """Returns `FIGURES`: numbers, and shares of the captions' statements, the captions, the regions
    or the negatives. Statements are those of the long caption, counted an image.

    A region is one of the object that its box overlaps most. A box is right with an IoU of 0.5. A
    negative with another noun swaps no attribute; one that is "true too" is no negative at all.
    """
    counts: Counter[str] = Counter()
    for sample in open_dataset(str(dataset)):
        counts["images"] += 1
        scene = world.scenes[sample.json["image"]["sha256"]]
        said = [is_true_of_scene(s.text, scene) for s in statements(sample.json["long_caption"])]
        counts["statements"] += len(said)
        counts["statements true"] += sum(said)
        counts["long true"] += all(said)
        counts["short true"] += is_true_of_scene(sample.json["short_caption"], scene)
        sides = (scene.width, scene.height) * 2
        boxes = np.array([thing.box for thing in scene.things]) / sides
        for region in sample.json["regions"]:
            counts["regions"] += 1
            overlaps = iou(np.array(region["box"]), boxes)
            thing = scene.things[int(overlaps.argmax())]
            counts["right"] += bool(overlaps.max() >= 0.5)
            counts["true"] += is_true(region["short_expr"], thing)
            counts["captions"] += is_true(region["long_expr"], thing)
            for negative in region["hard_negatives"]:
                counts["negatives"] += 1
                counts["true too"] += is_true(negative["text"], thing)
                counts["noun"] += negative["original"] in KINDS
    images, told = max(1, counts["images"]), max(1, counts["statements"])
    regions, negatives = max(1, counts["regions"]), max(1, counts["negatives"])
    values = (
        counts["images"], told / images, counts["statements true"] / told,
        counts["long true"] / images, counts["short true"] / images,
        regions / images, counts["right"] / regions,
        counts["true"] / regions, counts["captions"] / regions, negatives / regions,
        counts["true too"] / negatives, counts["noun"] / negatives,
    )  # fmt: skip
    return dict(zip(FIGURES, values, strict=True))
