"""The input of one training step."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

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


class Captions(NamedTuple):
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
        return Captions(*(each.to(device, non_blocking=non_blocking) for each in self))


@dataclass(frozen=True)
class Batch:
    """B images of one process, with R regions, H of which have up to K hard negatives each.

    pixels      (B, 3, S, S) uint8, or `Patches`: what the model's `encode_images` takes
    packing     all texts, a `Packing` or `PaddedTexts`: what its `encode_texts` takes; the text
                indices below refer to the U distinct ones
    short, long (B,) int64, the text of each caption
    boxes       (X, 4) float32 xyxy, normalised; X >= R
    images      (X,) int64, the image of each box
    regions     (R,) int64, the text of each of the first R boxes
    hard_boxes  (H,) int64, the boxes that have hard negatives
    positives   (H,) int64, the true text of each
    negatives   (H, K) int64, the false texts of each, padded with -1
    short_same, long_same (B,), region_same (R,), positive_same (H,), negative_same (H, K)
                int64 `text_id`s, equal for equivalent texts
    region_text (R,) int64, equal for equal texts
    captions    those with false versions, a `Captions`; None if these are not used
    keys        of the samples, in order
    """

    pixels: Any
    packing: Any
    short: Tensor
    long: Tensor
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
    captions: Captions | None = None
    keys: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    tokens: int = 0
    """Tokens of all texts, with repetitions, without padding."""

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
