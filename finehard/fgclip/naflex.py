"""SigLIP 2's NaFlex images: patches in an image's own aspect ratio, padded to equal numbers.

A batch has as many patches an image as its largest image fills, of five sizes; images are scaled
up or down to it, as in the published trainer of FG-CLIP 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from transformers.models.siglip2.image_processing_siglip2 import (
    convert_image_to_patches,
    get_image_size_for_max_num_patches,
)

from finehard.fgclip.transform import clipped
from finehard.images import ANY_SIDE, ImagesConfig, header, load
from finehard.records import Box

SIZES = (128, 256, 576, 784, 1024)
"""Patches of an image (published: determine_max_value in train_fgclip2.py)."""
_LEAST_SIDE, _SQUARE = 128, 224
"""An image with a side below the first, in pixels, is squashed to a square of the second."""


@dataclass(frozen=True)
class Patches:
    """B images as P patches each, row by row, padded at the end.

    pixels  (B, P, 3 * S * S) uint8, S the side of a patch; channels last
    mask    (B, P) bool, False at padding
    shapes  (B, 2) int64, rows and columns of patches, always in the CPU's memory
    """

    pixels: Tensor
    mask: Tensor
    shapes: Tensor

    @property
    def device(self) -> torch.device:
        """The device of pixels and mask."""
        return self.pixels.device

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Patches:
        """Returns the patches on `device`; the shapes stay where they are."""
        moved = (x.to(device, non_blocking=non_blocking) for x in (self.pixels, self.mask))
        return replace(self, **dict(zip(("pixels", "mask"), moved, strict=True)))


class Naflex(NamedTuple):
    """The side of a patch in pixels, and the most patches of an image, one of `SIZES`."""

    patch: int
    most: int


class Picture(NamedTuple):
    """A decoded image (3, H, W) and the number of patches, of `SIZES`, that it fills; `final` where
    it has its size in patches already, and no batch scales it."""

    pixels: NDArray[np.uint8]
    fills: int
    final: bool


def picture(
    data: bytes,
    naflex: Naflex,
    boxes: Sequence[Sequence[float]],
    reduced: bool = True,
    limits: ImagesConfig = ANY_SIDE,
) -> tuple[Picture, list[Box]]:
    """Returns the image, and normalised xyxy `boxes` cut to it.

    With `reduced`, JPEGs are decoded at a reduced scale where that suffices. Raises `ImageError`.
    """
    known = header(data, limits)
    height, width = known.height, known.width
    small = min(height, width) < _LEAST_SIDE
    if small:
        height = width = _SQUARE
    fills = _size(height // naflex.patch * (width // naflex.patch), naflex.most)
    target = _pixels_for(height, width, naflex.patch, fills)
    image = load(data, limits, min(target) if reduced and fills == naflex.most else None)
    if small:
        image = image.resize((_SQUARE, _SQUARE), Image.Resampling.BICUBIC)
    pixels = np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))
    final = fills == naflex.most
    if final:
        pixels = _resize(pixels, target)
    return Picture(pixels, fills, final), [clipped(box) for box in boxes]


def alone(image: Image.Image, naflex: Naflex) -> Picture:
    """Returns an RGB image at the number of patches that it fills by itself, whatever it is in a
    batch with: as FG-CLIP 2 is evaluated (published: determine_max_value in fgclip2/eval)."""
    pixels = np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))
    height, width = pixels.shape[1:]
    fills = _size(height // naflex.patch * (width // naflex.patch), naflex.most)
    return Picture(
        _resize(pixels, _pixels_for(height, width, naflex.patch, fills)), fills, final=True
    )


def batch_of(pictures: Sequence[Picture], patch: int) -> Patches:
    """Returns `pictures` as patches with a side of `patch` pixels, as many each as the largest of
    them fills."""
    most = max(p.fills for p in pictures)
    pixels = torch.zeros((len(pictures), most, 3 * patch**2), dtype=torch.uint8)
    mask = torch.zeros((len(pictures), most), dtype=torch.bool)
    shapes = []
    for row, (image, _, final) in enumerate(pictures):
        if not final:
            height, width = image.shape[1:]
            image = _resize(image, _pixels_for(height, width, patch, most))
        patches = convert_image_to_patches(torch.from_numpy(image), patch)
        pixels[row, : len(patches)] = patches
        mask[row, : len(patches)] = True
        shapes.append([side // patch for side in image.shape[1:]])
    return Patches(pixels, mask, torch.tensor(shapes))


def _size(patches: int, most: int) -> int:
    return min(most, next((size for size in SIZES if patches <= size), SIZES[-1]))


def _pixels_for(height: int, width: int, patch: int, patches: int) -> tuple[int, int]:
    size: tuple[int, int] = get_image_size_for_max_num_patches(height, width, patch, patches)
    return size


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Returns (3, *size), resized as by SigLIP 2's image processor."""
    resized = interpolate(torch.from_numpy(pixels)[None], size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized[0].numpy())
