"""SigLIP and SigLIP 2, in the form of `transformers`; SigLIP 2 also with patches of any number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from finehard.benchmarks.model import Features, TextKind
from finehard.benchmarks.models.forward import (
    TEXTS,
    Place,
    box_features,
    features,
    name_of,
    none_cut,
)
from finehard.benchmarks.models.pretrained import load_pretrained, token_ids


class SiglipModel:
    """A SigLIP or SigLIP 2 with its own image processor.

    Texts are in lower case, padded to the model's full length, and the padding is attended to, as
    in training. Boxes are RoIAlign on the map that the pooling head makes of each patch alone, its
    value path (MaskCLIP, arXiv 2112.01071).
    """

    batch = 64

    def __init__(self, spec: str, where: Place) -> None:
        self.name = name_of(spec)
        self.cut = none_cut()
        self._where = where
        self._model, self._tokenizer, self._processor = load_pretrained(spec, where.device)
        self._limit = self._model.config.text_config.max_position_embeddings

    def encode_images(self, images: Sequence[Image.Image]) -> Features:
        return features(images, self.batch, self._image_features, self._where)

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        def encode(part: Sequence[str]) -> Tensor:
            lower = [text.lower() for text in part]
            inputs = token_ids(self._tokenizer, lower, self._limit, "max_length", self.cut, kind)
            ids = inputs["input_ids"].to(self._where.device)
            return self._model.get_text_features(input_ids=ids).pooler_output

        return features(texts, TEXTS, encode, self._where)

    def encode_boxes(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[Any]]
    ) -> list[Features]:
        return box_features(images, boxes, self.batch, self._maps, self._where)

    def describe(self) -> dict[str, Any]:
        config = self._model.config
        patches = getattr(self._processor, "max_num_patches", None)
        return {
            "family": "SigLIP 2" if config.model_type == "siglip2" else "SigLIP",
            "text_lengths": dict.fromkeys(self.cut, self._limit),
            "image_size": f"at most {patches} patches"
            if patches
            else config.vision_config.image_size,
            "image_fit": "the model's image processor",
            "boxes": "RoIAlign on the dense map: the value path of the pooling head",
            "precision": self._where.precision,
        }

    def _inputs(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        inputs = self._processor(list(images), return_tensors="pt")
        return {name: rows.to(self._where.device) for name, rows in inputs.items()}

    def _image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self._model.get_image_features(**self._inputs(images)).pooler_output

    def _maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        inputs = self._inputs(images)
        vision = self._model.vision_model
        states = _pooled_alone(vision.head, vision(**inputs).last_hidden_state)
        if "spatial_shapes" in inputs:
            shapes = inputs["spatial_shapes"].tolist()
        else:
            side = vision.config.image_size // vision.config.patch_size
            shapes = [(side, side)] * len(images)
        return [
            own[: height * width].T.unflatten(1, (height, width))
            for own, (height, width) in zip(states, shapes, strict=True)
        ]


def _pooled_alone(head: Any, states: Tensor) -> Tensor:
    """Returns (B, N, H), what the pooling head makes of each of the (B, N, H) `states` alone."""
    attention = head.attention
    weight, bias = (p.chunk(3)[2] for p in (attention.in_proj_weight, attention.in_proj_bias))
    values = attention.out_proj(functional.linear(states, weight, bias))
    return values + head.mlp(head.layernorm(values))
