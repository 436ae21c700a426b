"""The input of one training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from finehard.fgclip.naflex import Patches


@dataclass(frozen=True)
class Skipped:
    """A sample, or a part of one, that is not used: its key, its shard, and the reason.

    `part`: the sample, `count` of its regions (the reason is the first's), or a caption that is
    missing, in place of which another is used.
    """

    key: str
    shard: str
    reason: str
    part: Literal["sample", "regions", "caption"] = "sample"
    count: int = 1


@dataclass(frozen=True)
class Captions:
    """C captions, or other true texts of images, that have up to F false versions each.

    images      (C,) int64, the image of each
    texts       (C,) int64, its text
    long        (C,) bool, whether it is a long caption
    false       (C, F) int64, the texts of its false versions, padded with -1
    """

    images: Tensor
    texts: Tensor
    long: Tensor
    false: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Captions:
        """Returns the same on `device`."""
        moved: Captions = _each_tensor(self, lambda t: t.to(device, non_blocking=non_blocking))
        return moved


NO_TEACHER = torch.zeros((0, 3, 0))


@dataclass(frozen=True)
class Batch:
    """B images of one process, with R regions, H of which have up to K hard negatives each.

    pixels      (B, 3, S, S) uint8, or `Patches`: what the model's `encode_images` takes
    packing     all texts, a `Packing` or `PaddedTexts`: what its `encode_texts` takes; the text
                indices below refer to the U distinct ones
    short, long (S,) and (L,) int64, the text of each caption
    short_images, long_images
                (S,) and (L,) int64, the image of each; all B of them where none lacks a caption
    boxes       (X, 4) float32 xyxy, normalised; X >= R
    images      (X,) int64, the image of each box
    regions     (R,) int64, the text of each of the first R boxes
    hard_boxes  (H,) int64, the boxes that have hard negatives
    positives   (H,) int64, the true text of each
    negatives   (H, K) int64, the false texts of each, padded with -1
    short_same, long_same (S,) (L,), region_same (R,), positive_same (H,), negative_same (H, K)
                int64 `text_id`s, equal for equivalent texts
    region_text (R,) int64, equal for equal texts
    half_truths the captions with false versions; None if these are not used
    teacher     (B, 3, D) float32, a teacher's features of image, long and short caption, the
                image's times its scale (`distill`); D is 0 without a teacher
    keys, shards, captions
                of the samples, in order: the key, the shard's URI, the long and the short caption
    """

    pixels: Any
    packing: Any
    short: Tensor
    long: Tensor
    short_images: Tensor
    long_images: Tensor
    boxes: Tensor
    images: Tensor
    regions: Tensor
    hard_boxes: Tensor
    positives: Tensor
    negatives: Tensor
    short_same: Tensor
    long_same: Tensor
    region_same: Tensor
    positive_same: Tensor
    negative_same: Tensor
    region_text: Tensor
    half_truths: Captions | None = None
    teacher: Tensor = NO_TEACHER
    keys: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    captions: tuple[tuple[str, str], ...] = ()
    skipped: tuple[Skipped, ...] = ()
    tokens: int = 0
    """Tokens of all texts, with repetitions, without padding."""

    def pin_memory(self) -> Batch:
        """Returns the batch in pinned memory, from which a GPU copies without waiting; called by
        torch's `DataLoader`."""
        pinned: Batch = _each_tensor(self, Tensor.pin_memory)
        return pinned

    def tensors(self) -> list[Tensor]:
        """Returns all tensors of the batch."""
        found: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        _each_tensor(self, keep)
        return found

    def to(self, device: torch.device) -> Batch:
        """Returns the batch with all tensors on `device`."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {
            f.name: value.to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor | Patches | Captions)
        }
        return replace(self, packing=self.packing.to(device), **moved)


def _each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Returns `value`, a tensor or a dataclass, with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {f.name: _each_tensor(getattr(value, f.name), change) for f in fields(value)}
    return replace(value, **changed)
