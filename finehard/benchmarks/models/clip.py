"""CLIP, in the form of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from finehard.benchmarks.model import Features, TextKind
from finehard.benchmarks.models.forward import (
    TEXTS,
    ForwardModel,
    Place,
    features,
    name_of,
    pieces_of,
    value_path,
)
from finehard.benchmarks.models.pretrained import load_pretrained, token_ids


class ClipModel(ForwardModel):
    """A CLIP with its own image processor, which crops the middle of an image.

    Boxes are on the whole image, squashed to a square; their features are RoIAlign on the map of
    the last layer without attention, as CLIP is measured by FG-CLIP (arXiv 2505.05071, table 2).
    """

    def __init__(self, spec: str, where: Place) -> None:
        super().__init__(name_of(spec), where)
        self._model, self._tokenizer, self._processor = load_pretrained(spec, where.device)
        self._limit = self._model.config.text_config.max_position_embeddings
        self._side = self._model.config.vision_config.image_size

    def pieces(self, text: str) -> list[str]:
        return pieces_of(self._tokenizer, text)

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        def encode(part: Sequence[str]) -> Tensor:
            inputs = token_ids(self._tokenizer, part, self._limit, "longest", self.cut, kind)
            inputs = {name: rows.to(self.where.device) for name, rows in inputs.items()}
            return self._model.get_text_features(**inputs).pooler_output

        return features(texts, TEXTS, encode, self.where)

    def describe(self) -> dict[str, Any]:
        return {
            "family": "CLIP",
            "text_lengths": dict.fromkeys(self.cut, self._limit),
            "image_size": self._side,
            "image_fit": "the model's image processor; squashed to a square for boxes",
            "boxes": "RoIAlign on the dense map: the last layer without attention",
            "precision": self.where.precision,
        }

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        inputs = self._processor(list(images), return_tensors="pt")
        pixels = inputs["pixel_values"].to(self.where.device)
        return self._model.get_image_features(pixel_values=pixels).pooler_output

    def maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        size = {"height": self._side, "width": self._side}
        inputs = self._processor(list(images), size=size, do_center_crop=False, return_tensors="pt")
        vision = self._model.vision_model
        states = vision.pre_layrnorm(
            vision.embeddings(inputs["pixel_values"].to(self.where.device))
        )
        *layers, last = vision.encoder.layers
        for layer in layers:
            states = layer(states, None)
        patches = vision.post_layernorm(value_path(last, states)[:, 1:])
        dense = self._model.visual_projection(patches)
        side = self._side // vision.config.patch_size
        return list(dense.transpose(1, 2).unflatten(2, (-1, side)))
