"""The folder that a format writes to: its files, its images, and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import groupby
from typing import IO, Any, NamedTuple

from finehard.dataset.reader import Dataset
from finehard.dataset.shard import Sample
from finehard.digest import number
from finehard.export.formats import Caption
from finehard.images.header import open_image
from finehard.images.views import jpeg
from finehard.io import storage

_QUALITY = 95
"""JPEG quality of images that are turned upright."""


class Picture(NamedTuple):
    """An image file: its bytes, and the suffix of its name, without a dot."""

    data: bytes
    suffix: str


class Target:
    """Where an export goes. `output` is a folder or URI; `counts` is what the command prints."""

    def __init__(self, output: str, caption: Caption = "long") -> None:
        self.output = output
        self.counts: Counter[str] = Counter()
        self._caption = caption

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Opens file `name` of the export; it appears once it is whole."""
        return storage.writing(storage.join(self.output, name))

    def caption(self, sample: dict[str, Any]) -> str:
        """The caption of `sample` for formats that have one per image."""
        kind = self._caption
        if kind == "mixed":
            kind = "long" if number(sample["key"]) % 2 else "short"
        return str(sample[f"{kind}_caption"])

    def picture(self, sample: Sample) -> Picture:
        """The image of `sample` as other programs display it.

        They show pixels as stored and boxes are of the image as displayed, so that an image that
        EXIF turns is turned here, and becomes a JPEG. All others are the bytes of the dataset.
        """
        data = sample.image_bytes
        if open_image(data, sample.limits).orientation == 1:
            return Picture(data, sample.json["image"]["format"])
        self.counts["images turned upright"] += 1
        return Picture(jpeg(sample.image(), _QUALITY), "jpg")

    def add_image(self, sample: Sample, path: str | None = None) -> str:
        """Writes the image of `sample` and returns its path below the output: `path`, where that
        is a path inside, or images/SHARD/KEY.SUFFIX."""
        picture = self.picture(sample)
        if path is None or not _inside(path):
            path = f"images/{stem(sample.shard)}/{sample.key}.{picture.suffix}"
        with storage.writing(storage.join(self.output, path), durable=False) as file:
            file.write(picture.data)
        return path


def _inside(path: str) -> bool:
    parts = path.split("/")
    return bool(path) and not any(part in ("", ".", "..") for part in parts) and "\\" not in path


def stem(shard: str) -> str:
    """Returns the name of a shard without folder and suffix."""
    return shard.rsplit("/", 1)[-1].removesuffix(".tar")


def by_shard(dataset: Dataset) -> Iterator[tuple[str, Iterator[Sample]]]:
    """Yields the name of each shard that has samples, and its samples, to be taken in order."""
    for shard, samples in groupby(dataset, key=lambda sample: sample.shard):
        yield stem(shard), samples


class Usable(NamedTuple):
    """A region, those of its negatives that are false of it, as far as was verified, and its
    number in the sample."""

    region: dict[str, Any]
    negatives: list[dict[str, Any]]
    number: int


def usable(sample: dict[str, Any], counts: Counter[str]) -> list[Usable]:
    """Returns the regions of `sample` as the trainer takes them: without regions whose text, and
    negatives whose falsehood, verification did not confirm. Those are counted."""
    found = []
    for place, region in enumerate(sample["regions"]):
        if region["verified"] is False:
            counts["regions left out: not confirmed"] += 1
            continue
        negatives = [n for n in region["hard_negatives"] if n["verified"] is not False]
        if dropped := len(region["hard_negatives"]) - len(negatives):
            counts["negatives left out: not confirmed"] += dropped
        found.append(Usable(region, negatives, place))
    return found


def pixels(sample: dict[str, Any], box: list[float]) -> tuple[float, float, float, float]:
    """Returns `box` as x, y, width, height in pixels of the displayed image, to a hundredth."""
    width, height = sample["image"]["width"], sample["image"]["height"]
    x1, y1, x2, y2 = box
    return (
        round(x1 * width, 2), round(y1 * height, 2),
        round((x2 - x1) * width, 2), round((y2 - y1) * height, 2),
    )  # fmt: skip
