"""Writes a dataset in another format, chosen by name or as a user's own function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import get_args

from finehard import registry
from finehard.dataset.reader import Dataset, open_dataset
from finehard.errors import FinehardError, UsageError, error_line
from finehard.export.formats import FORMATS, Caption
from finehard.export.target import Target
from finehard.images import ImageError
from finehard.io import storage

Format = Callable[[Dataset, Target], None]
"""Writes all samples of a dataset to a target, and counts what it wrote and what it left out."""


def export(dataset: str, output: str, to: str, caption: Caption = "long") -> Counter[str]:
    """Writes `dataset` to the folder or URI `output` in the format `to`: one of `FORMATS`, or
    module:attribute of a `Format`.

    `caption` says which caption goes where a format has one per image; "mixed" takes the long one
    of about half the images. Returns the counts. Memory does not grow with the dataset, except for
    COCO's categories. Raises `UsageError` if `output` holds something already, `FinehardError` if
    a sample cannot be read; then `output` is not complete.
    """
    if caption not in get_args(Caption):
        raise UsageError(f"caption: {caption!r} is not one of {', '.join(get_args(Caption))}")
    write = registry.load(to, {name: _loader(name) for name in FORMATS}, "export")
    source, output = open_dataset(dataset), storage.local(output)
    there = storage.is_dir(output)
    if next(storage.walk(output), None) if there else storage.exists(output):
        raise UsageError(f"{output} is there already: give a new folder")
    target = Target(output, caption)
    try:
        write(source, target)
    except (OSError, ImageError) as error:
        raise FinehardError(f"{output} is not complete: {error_line(error)}") from error
    return target.counts


def _loader(name: str) -> Callable[[], Format]:
    def load() -> Format:
        write: Format = import_module(f"finehard.export.to_{name}").write
        return write

    return load
