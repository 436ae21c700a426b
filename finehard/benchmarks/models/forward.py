"""What the models of all families have in common: device and precision, batches, boxes on a map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torchvision.ops import roi_align

from finehard.benchmarks.model import Features, Precision, TextKind
from finehard.errors import FinehardError

T = TypeVar("T")

TEXTS = 256
"""Texts of one forward pass."""
_UNKNOWN = {"<unk>", "[UNK]"}
"""What tokenizers without bytes make of a word that they do not have."""


class Place(NamedTuple):
    """Where a model runs, and in which precision; parameters stay in float32."""

    device: torch.device
    precision: Precision

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns the context of a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def place(device: str | None, precision: Precision | None) -> Place:
    """Returns the place for `device`, by default a GPU if there is one, and `precision`, by default
    bf16 on a GPU and fp32 on a CPU. Raises `FinehardError` for a device that is not there."""
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.empty(0, device=chosen).device
    except (RuntimeError, AssertionError) as error:
        raise FinehardError(f"no device {chosen}: {str(error).splitlines()[0]}") from None
    return Place(found, precision or ("bf16" if found.type == "cuda" else "fp32"))


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yields runs of at most `size` of `items`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


@torch.inference_mode()
def features(
    items: Sequence[T], size: int, encode: Callable[[Sequence[T]], Tensor], where: Place
) -> Features:
    """Returns what `encode` makes of `items`, `size` at a time, (n, d), each row of length 1."""
    rows = []
    for part in in_batches(items, size):
        with where.autocast():
            encoded = encode(part)
        rows.append(normalize(encoded.float(), dim=-1).cpu())
    return torch.cat(rows).numpy() if rows else np.zeros((0, 0), np.float32)


def pooled(dense: Tensor, boxes: NDArray[Any]) -> Features:
    """Returns (k, d) features of normalised xyxy (k, 4) `boxes` on the (d, h, w) map `dense`."""
    height, width = dense.shape[1:]
    # In float64 first, as published: RoIAlign's samples are a box's patches, rounded up.
    scaled = np.reshape(boxes, (-1, 4)) * np.array([width, height, width, height], np.float64)
    rois = torch.as_tensor(scaled, dtype=torch.float32, device=dense.device)
    aligned = roi_align(dense.float()[None], [rois], (1, 1), 1.0, sampling_ratio=-1, aligned=True)
    return normalize(aligned[:, :, 0, 0], dim=-1).cpu().numpy()


def name_of(spec: str) -> str:
    """Returns the name of a model in tables: its Hub id, or the last two parts of its path."""
    return "/".join(spec.rstrip("/").split("/")[-2:])


def value_path(layer: Any, states: Tensor) -> Tensor:
    """Returns what `layer`, a pre-norm transformer layer of `transformers`, makes of (B, N, H)
    `states` when each token attends to itself only (MaskCLIP, arXiv 2112.01071)."""
    attention = layer.self_attn
    states = states + attention.out_proj(attention.v_proj(layer.layer_norm1(states)))
    return states + layer.mlp(layer.layer_norm2(states))


def pieces_of(tokenizer: Any, text: str) -> list[str]:
    """Returns the tokens that one of `transformers`' tokenizers splits `text` into, without those
    that begin and end it."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return tokenizer.convert_ids_to_tokens(ids)


def _is_spelled(pieces: Sequence[str], text: str) -> bool:
    return not _UNKNOWN.isdisjoint(pieces) or len(pieces) > len(text)


class ForwardModel:
    """A model in batches: families say what a batch of images makes, and how texts are encoded.

    Boxes are encoded by RoIAlign with a 1 x 1 output on the dense map, as FG-CLIP's.
    """

    batch = 64

    def __init__(self, name: str, where: Place) -> None:
        self.name = name
        self.cut: dict[TextKind, int] = {"short": 0, "long": 0, "region": 0}
        self.where = where

    def pieces(self, text: str) -> list[str]:
        """Returns the tokens that `text` is split into, without those that begin and end it."""
        raise NotImplementedError

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """Returns (n, d) features of a batch of images, of any length."""
        raise NotImplementedError

    def maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        """Returns the dense map (d, h, w) of each whole image of a batch."""
        raise NotImplementedError

    def spelled(self, texts: Sequence[str]) -> int:
        """Returns how many of `texts` the tokenizer has no words for: with unknown tokens, or with
        more tokens than characters, as where those outside a vocabulary are spelled in bytes."""
        return sum(_is_spelled(self.pieces(text), text) for text in texts if not text.isascii())

    def encode_images(self, images: Sequence[Image.Image]) -> Features:
        """Returns (n, d) features of RGB `images`."""
        return features(images, self.batch, self.image_features, self.where)

    def dense_maps(self, images: Sequence[Image.Image]) -> Iterator[Tensor]:
        """Yields the dense map (d, h, w) of each of `images`, in float32 on the model's device."""
        for part in in_batches(images, self.batch):
            with torch.inference_mode(), self.where.autocast():
                maps = self.maps(part)
            yield from (one.float() for one in maps)

    def encode_boxes(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[Any]]
    ) -> list[Features]:
        """Returns for each of `images` the (k, d) features of its normalised xyxy (k, 4) `boxes`;
        each image is encoded once."""
        return [
            pooled(dense, own) for dense, own in zip(self.dense_maps(images), boxes, strict=True)
        ]
