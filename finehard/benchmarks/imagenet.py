"""ImageNet's 1,000 classes as zero-shot classification names them, and its 80 templates."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from finehard.benchmarks.items import ClassList


class ImageNet(NamedTuple):
    """The classes, and the number of each by its WordNet id."""

    classes: ClassList
    numbers: dict[str, int]


@cache
def imagenet() -> ImageNet:
    """Returns the names and templates that were published with CLIP (data/LICENSE.clip)."""
    content = json.loads((Path(__file__).parent / "data" / "imagenet.json").read_text("utf-8"))
    classes = ClassList(tuple(content["names"]), tuple(content["templates"]))
    return ImageNet(classes, {wnid: n for n, wnid in enumerate(content["wordnet_ids"])})
