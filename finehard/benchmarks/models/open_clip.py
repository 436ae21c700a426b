"""Any model of open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from finehard.benchmarks.model import Features, TextKind
from finehard.benchmarks.models.forward import (
    TEXTS,
    ForwardModel,
    Place,
    features,
    name_of,
    pieces_of,
)
from finehard.errors import FinehardError, UsageError, error_line

_SCHEMES = ("hf-hub:", "local-dir:")
"""Before an open_clip name: the weights are where the name says."""

_ENLARGED = 1.5
"""A crop's sides, in those of its box (CLIPSelf, src/training/data.py)."""


class OpenClipModel(ForwardModel):
    """A model of open_clip, `spec` as in "ViT-B-32:WEIGHTS", with its own preprocessing.

    Boxes of a ViT with a class token are RoIAlign on the map of the last layer without attention,
    the image squashed to the model's size. Those of another architecture are crops half as large
    again, squashed and encoded like images, as CLIPSelf (arXiv 2310.01403) measures crops.
    """

    def __init__(self, spec: str, where: Place) -> None:
        try:
            import open_clip
        except ImportError:
            raise FinehardError("open_clip is not installed: install finehard[open-clip]") from None
        architecture, weights = _parsed(spec)
        try:
            model, _, self._preprocess = open_clip.create_model_and_transforms(
                architecture, weights, device=where.device
            )
            self._tokenizer = open_clip.get_tokenizer(architecture)
            inputs = open_clip.get_model_preprocess_cfg(model)
            self._squash = open_clip.image_transform(
                inputs["size"], False, inputs["mean"], inputs["std"], "squash"
            )
        except Exception as error:  # whatever open_clip and the Hub's client raise
            raise FinehardError(f"no open_clip model {spec}: {error_line(error)}") from None
        super().__init__(name_of(architecture), where)
        self._model: Any = model.eval()
        self._limit = int(getattr(model, "context_length", self._tokenizer.context_length))
        self._dense = _has_value_path(model.visual)
        self._padding = int(self._tokenizer([""], self._limit + 1)[0, -1])

    def pieces(self, text: str) -> list[str]:
        inner = getattr(self._tokenizer, "tokenizer", None)  # one of transformers
        return pieces_of(inner, text) if inner else list(map(str, self._tokenizer.encode(text)))

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        def encode(part: Sequence[str]) -> Tensor:
            longer = self._tokenizer(list(part), self._limit + 1)
            self.cut[kind] += int((longer[:, -1] != self._padding).sum())
            ids = self._tokenizer(list(part), self._limit)
            return self._model.encode_text(ids.to(self.where.device))

        return features(texts, TEXTS, encode, self.where)

    def encode_boxes(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[Any]]
    ) -> list[Features]:
        if self._dense:
            return super().encode_boxes(images, boxes)
        crops = [_crop(image, box) for image, own in zip(images, boxes, strict=True) for box in own]
        rows = features(crops, self.batch, self._crop_features, self.where)
        return np.split(rows, np.cumsum([len(own) for own in boxes])[:-1])

    def describe(self) -> dict[str, Any]:
        dense = "RoIAlign on the dense map: the last layer without attention"
        return {
            "family": "open_clip",
            "text_lengths": dict.fromkeys(self.cut, self._limit),
            "image_size": self._model.visual.image_size,
            "image_fit": "the model's preprocessing; squashed for boxes",
            "boxes": dense if self._dense else "crops of 1.5 times the box, encoded like images",
            "precision": self.where.precision,
        }

    def _stacked(self, images: Sequence[Image.Image], transform: Any) -> Tensor:
        return torch.stack([transform(image) for image in images]).to(self.where.device)

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self._model.encode_image(self._stacked(images, self._preprocess))

    def _crop_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self._model.encode_image(self._stacked(images, self._squash))

    def maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        visual = self._model.visual
        *blocks, last = visual.transformer.resblocks
        states = visual._embeds(self._stacked(images, self._squash))
        for block in blocks:
            states = block(states)
        weight, bias = (p.chunk(3)[2] for p in (last.attn.in_proj_weight, last.attn.in_proj_bias))
        values = functional.linear(last.ln_1(states), weight, bias)
        states = states + last.ls_1(last.attn.out_proj(values))
        states = states + last.ls_2(last.mlp(last.ln_2(states)))
        dense = visual.ln_post(states[:, 1:]) @ visual.proj
        return list(dense.transpose(1, 2).unflatten(2, visual.grid_size))


def _parsed(spec: str) -> tuple[str, str | None]:
    if spec.startswith(_SCHEMES):
        return spec, None
    architecture, _, weights = spec.partition(":")
    if not weights:
        raise UsageError(
            f"open_clip:{spec} has no weights: give open_clip:{spec}:WEIGHTS, a tag or a path"
        )
    return architecture, weights


def _has_value_path(visual: Any) -> bool:
    """Returns whether `visual` is a plain ViT whose feature is that of its class token."""
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and isinstance(visual.transformer.resblocks[-1], ResidualAttentionBlock)
    )


def _crop(image: Image.Image, box: NDArray[Any]) -> Image.Image:
    """Returns the part of `image` in the normalised xyxy `box`, enlarged, at least a pixel."""
    size = np.array(image.size * 2)
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * _ENLARGED
    corners = np.clip(np.concatenate([center - half, center + half]), 0, 1) * size
    left, top = np.minimum(np.floor(corners[:2]).astype(int), size[:2] - 1).tolist()
    right, bottom = np.maximum(np.ceil(corners[2:]).astype(int), (left + 1, top + 1)).tolist()
    return image.crop((left, top, right, bottom))
