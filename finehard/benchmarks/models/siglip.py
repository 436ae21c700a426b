"""SigLIP and SigLIP 2, in the form of `transformers`; SigLIP 2 also with patches of any number."""

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
)
from finehard.benchmarks.models.pretrained import load_pretrained, token_ids
from finehard.fgclip.modeling_fgclip2 import attend


class SiglipModel(ForwardModel):
    """A SigLIP or SigLIP 2 with its own image processor.

    Texts are in lower case, padded to the model's full length, and the padding is attended to, as
    in training. Boxes are RoIAlign on the map that the pooling head makes when each patch asks in
    the place of its probe, as FG-CLIP 2 measures SigLIP 2 (published: copy_dense_feature_head).
    """

    def __init__(self, spec: str, where: Place) -> None:
        super().__init__(name_of(spec), where)
        self._model, self._tokenizer, self._processor = load_pretrained(spec, where.device)
        self._limit = self._model.config.text_config.max_position_embeddings

    def pieces(self, text: str) -> list[str]:
        return pieces_of(self._tokenizer, text.lower())

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        def encode(part: Sequence[str]) -> Tensor:
            lower = [text.lower() for text in part]
            inputs = token_ids(self._tokenizer, lower, self._limit, "max_length", self.cut, kind)
            ids = inputs["input_ids"].to(self.where.device)
            return self._model.get_text_features(input_ids=ids).pooler_output

        return features(texts, TEXTS, encode, self.where)

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
            "boxes": "RoIAlign on the dense map: the pooling head, each patch asking for itself",
            "precision": self.where.precision,
        }

    def _inputs(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        inputs = self._processor(list(images), return_tensors="pt")
        return {name: rows.to(self.where.device) for name, rows in inputs.items()}

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self._model.get_image_features(**self._inputs(images)).pooler_output

    def maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        inputs = self._inputs(images)
        vision = self._model.vision_model
        states = vision(**inputs).last_hidden_state
        mask = inputs.get("pixel_attention_mask", states.new_ones(states.shape[:2]))
        dense = attend(vision.head, states, states, mask.bool())
        if "spatial_shapes" in inputs:
            shapes = inputs["spatial_shapes"].tolist()
        else:
            side = vision.config.image_size // vision.config.patch_size
            shapes = [(side, side)] * len(images)
        return [
            own[: height * width].T.unflatten(1, (height, width))
            for own, (height, width) in zip(dense, shapes, strict=True)
        ]
