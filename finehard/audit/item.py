"""Items of the blind audit: texts with their hard negatives, from several kinds of datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from finehard.dataset.reader import open_dataset
from finehard.errors import UsageError, typed_error_line
from finehard.io import storage


class Item(NamedTuple):
    """`texts[0]` is true of a part of `image`, the others are false; `attributes[n]` is the
    attribute that `texts[n + 1]` changes."""

    image: str
    texts: tuple[str, ...]
    attributes: tuple[str, ...]


def read_items(path: str) -> Iterator[Item]:
    """The items of a dataset, an FG-OVD file (.jsonl) or a SugarCrepe file (.json).

    Raises `UsageError` if `path` is none of these.
    """
    if path.endswith(".jsonl"):
        return _checked(path, "FG-OVD", _fgovd(path))
    if path.endswith(".json"):
        return _checked(path, "SugarCrepe", _sugarcrepe(path))
    if not storage.is_dir(path):
        raise UsageError(
            f"{path} is not a dataset folder, and neither FG-OVD (.jsonl) nor SugarCrepe (.json)"
        )
    return of_samples(sample.json for sample in open_dataset(path))


def of_samples(samples: Iterable[dict[str, Any]]) -> Iterator[Item]:
    """The regions of samples (schemas/sample.schema.json) as items: short expression, negatives."""
    for sample in samples:
        image = sample["image"]["sha256"]
        for region in sample["regions"]:
            negatives = region["hard_negatives"]
            yield Item(
                image,
                (region["short_expr"], *(negative["text"] for negative in negatives)),
                tuple(negative["attribute"] for negative in negatives),
            )


def _fgovd(path: str) -> Iterator[Item]:
    with storage.open_read(path) as file:
        for line in file:
            if line.strip():
                row = json.loads(line)
                texts = (row["pos_expression"][0], *row["neg_expression"])
                kind = str(row.get("test_type", "other"))
                yield Item(str(row["image_id"]), texts, (kind,) * (len(texts) - 1))


def _sugarcrepe(path: str) -> Iterator[Item]:
    for row in json.loads(storage.read_all(path)).values():
        texts = (row["caption"], row["negative_caption"])
        yield Item(str(row["filename"]), texts, ("other",))


def _checked(path: str, kind: str, items: Iterator[Item]) -> Iterator[Item]:
    try:
        yield from items
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UsageError(f"{path}: not a {kind} file: {typed_error_line(error, 200)}") from None
