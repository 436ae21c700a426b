"""A tab-separated file of image paths and captions, with open_clip's column names."""

from __future__ import annotations

import csv
import io

from finehard.dataset.reader import Dataset
from finehard.export.target import Target
from finehard.io import storage
from finehard.records import one_line


def write(dataset: Dataset, target: Target) -> None:
    """Writes captions.csv (`filepath`, `title`) and the images. Paths are absolute, because
    open_clip takes them as they are."""
    with target.writing("captions.csv") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        rows = csv.writer(text, delimiter="\t", lineterminator="\n")
        rows.writerow(("filepath", "title"))
        for sample in dataset:
            path = storage.join(target.output, target.add_image(sample))
            rows.writerow((path, one_line(target.caption(sample.json))))
            target.counts["images"] += 1
        text.detach()
