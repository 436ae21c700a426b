"""Whole samples, a line each, beside their images; Hugging Face's imagefolder reads it too."""

from __future__ import annotations

from typing import Any

from finehard.dataset.reader import Dataset
from finehard.export.json_lists import write_lines
from finehard.export.target import Target


def write(dataset: Dataset, target: Target) -> None:
    """Writes metadata.jsonl (`file_name`, and the sample as it is) and the images."""
    with target.writing("metadata.jsonl") as file:
        write_lines(file, (_row(target, sample) for sample in dataset))


def _row(target: Target, sample: Any) -> dict[str, Any]:
    target.counts["samples"] += 1
    return {"file_name": target.add_image(sample), **sample.json}
