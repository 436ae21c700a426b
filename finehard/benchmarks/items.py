"""What the four readers yield: items that name an image and hold the texts that go with it.

No item holds pixels: images are decoded when the model is given them (`encoder.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finehard.records import Bytes


class Picture(NamedTuple):
    """An image file, or a member of a tar; `name` is what it is called where it is missing."""

    name: str
    where: str | Bytes


class Pair(NamedTuple):
    """An image and its captions."""

    picture: Picture
    captions: tuple[str, ...]


class Labelled(NamedTuple):
    """An image and the numbers of its classes: one, or any number in a multilabel set."""

    picture: Picture
    labels: tuple[int, ...]


class Boxed(NamedTuple):
    """An image with boxes.

    boxes    (k, 4) xyxy, normalised to 0-1
    answers  the number of each box's text among its candidates
    texts    the candidates of each box; empty where all boxes share a list of classes
    """

    picture: Picture
    boxes: NDArray[np.float64]
    answers: tuple[int, ...]
    texts: tuple[tuple[str, ...], ...] = ()


class Judged(NamedTuple):
    """An image, texts that are true of it, and texts that are false."""

    picture: Picture
    true: tuple[str, ...]
    false: tuple[str, ...]


class ClassList(NamedTuple):
    """Names of classes, and templates with "{c}" that are averaged into a class's feature."""

    names: tuple[str, ...]
    templates: tuple[str, ...] = ("{c}",)

    def prompts(self) -> list[list[str]]:
        """Returns the texts of each class."""
        return [[one.replace("{c}", name) for one in self.templates] for name in self.names]


class Pairs(NamedTuple):
    """Image-text pairs."""

    items: Sequence[Pair]
    notes: tuple[str, ...] = ()


class Classes(NamedTuple):
    """Labelled images of `classes`; `multilabel` where an image may have any number of them."""

    items: Sequence[Labelled]
    classes: ClassList
    multilabel: bool = False
    notes: tuple[str, ...] = ()


class Boxes(NamedTuple):
    """Images with boxes; `classes` where all boxes have the same candidates."""

    items: Sequence[Boxed]
    classes: ClassList | None = None
    notes: tuple[str, ...] = ()


class Choices(NamedTuple):
    """Images with true and false texts."""

    items: Sequence[Judged]
    notes: tuple[str, ...] = ()


Data = Pairs | Classes | Boxes | Choices
"""What a reader returns; `notes` say what it left out, for the output."""
