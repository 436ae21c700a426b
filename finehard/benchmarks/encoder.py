"""Gives a model the images and texts of a benchmark: in batches, each image decoded and encoded
once, missing ones noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finehard.benchmarks.items import Boxed, Picture
from finehard.benchmarks.model import Model, TextKind
from finehard.errors import FinehardError, error_line
from finehard.images import ANY_SIDE, ImageError, load
from finehard.io import storage
from finehard.io.ordered_map import ordered_map

Features = NDArray[np.float32]
Progress = Callable[[int, int], None]
Item = TypeVar("Item", bound=Any)

_PIXELS = 1 << 26
"""Pixels of a batch, 200 MB: fewer images where they are large."""
_NAMED = 5
NO_FILE = "no such file"
"""The reason of a `Missing` whose file is not there."""


class Missing(NamedTuple):
    """An image that is not there or cannot be decoded."""

    name: str
    reason: str


class Encoder:
    """A model, and what was found while it was given the images of one benchmark.

    The model is called by one thread, in an order that depends on the data only. `images` counts
    the images that were encoded, `expected` those that the benchmark names, `missing` names the
    others; `spelled` counts those of `texts` texts that the tokenizer has no words for. With
    `strict`, the first image that is missing raises `FinehardError`.
    """

    def __init__(
        self, model: Model, progress: Progress = lambda done, of: None, strict: bool = False
    ) -> None:
        self._model, self._progress, self._strict = model, progress, strict
        self.images = self.expected = self.texts = self.spelled = 0
        self.missing: list[Missing] = []
        self.notes: list[str] = []

    def encode_images(self, items: Sequence[Item]) -> Iterator[tuple[list[Item], Features]]:
        """Yields batches of those items whose image is there, with their (n, d) features."""
        for batch, images in self._batches(items):
            yield batch, self._model.encode_images(images)

    def encode_boxes(self, items: Sequence[Boxed]) -> Iterator[tuple[list[Boxed], list[Features]]]:
        """Yields batches of items whose image is there, with the (k, d) features of each one's
        boxes."""
        for batch, images in self._batches(items):
            yield batch, self._model.encode_boxes(images, [item.boxes for item in batch])

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        """Returns (n, d) features."""
        self.texts += len(texts)
        self.spelled += self._model.spelled(texts)
        return self._model.encode_texts(texts, kind)

    def _batches(self, items: Sequence[Item]) -> Iterator[tuple[list[Item], list[Image.Image]]]:
        self.expected += len(items)
        if self._strict:
            self._check(items)
        batch: list[Item] = []
        images: list[Image.Image] = []
        pixels = 0
        done = 0
        for item, image in _decoded(items):
            done += 1
            if isinstance(image, Missing):
                self.missing.append(image)
                if self._strict:
                    raise FinehardError(f"{image.name}: {image.reason} (--strict)")
                continue
            size = image.width * image.height
            if batch and (len(batch) == self._model.batch or pixels + size > _PIXELS):
                yield batch, images
                batch, images, pixels = [], [], 0
                self._progress(done - 1, len(items))
            batch.append(item)
            images.append(image)
            pixels += size
            self.images += 1
        if batch:
            yield batch, images
        self._progress(done, len(items))
        if not self.images:
            first = self.missing[0].name if self.missing else "none is named"
            raise FinehardError(f"none of the benchmark's {len(items):,} images is there ({first})")

    def _check(self, items: Sequence[Item]) -> None:
        """Raises `FinehardError`, which counts and names the image files that are not there."""
        names = [item.picture.name for item in items if not is_there(item.picture)]
        if names:
            shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            raise FinehardError(
                f"{len(names):,} of {len(items):,} images are missing: {shown} (--strict)"
            )


def is_there(picture: Picture) -> bool:
    """Returns whether the file of an image is there; a member of a tar is."""
    return not isinstance(picture.where, str) or storage.exists(picture.where)


def _decoded(items: Iterable[Item]) -> Iterator[tuple[Item, Image.Image | Missing]]:
    """Yields each item with its image as displayed; threads decode ahead."""
    return ordered_map(lambda item: (item, _decode(item.picture)), items)


def _decode(picture: Picture) -> Image.Image | Missing:
    try:
        where = picture.where
        data = storage.read_all(where) if isinstance(where, str) else storage.read(where)
        return load(data, ANY_SIDE)
    except FileNotFoundError:
        return Missing(picture.name, NO_FILE)
    except ImageError as error:
        return Missing(picture.name, f"{error.reason}: {error.detail}")
    except (OSError, EOFError) as error:
        return Missing(picture.name, error_line(error))
