"""FG-CLIP: models trained here, and published checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from finehard.benchmarks.model import Features, TextKind
from finehard.benchmarks.models.forward import TEXTS, ForwardModel, Place, features, pieces_of
from finehard.fgclip.evaluate import limits_of
from finehard.fgclip.model import FGCLIP
from finehard.fgclip.objective import pixel_scale
from finehard.fgclip.packing import LONG, SHORT, pack
from finehard.fgclip.tokenizer import UNCUT, Tokens
from finehard.fgclip.transform import Fit, fitted


class FGClipModel(ForwardModel):
    """An FG-CLIP as published: images squashed to a square (or padded, if trained so), short and
    region texts on the short path, long texts on the long one, boxes by RoIAlign on the dense map.
    """

    def __init__(
        self, model: FGCLIP, tokenizer: Any, where: Place, name: str, fit: Fit = "squash"
    ) -> None:
        super().__init__(name, where)
        self._model, self._fit = model, fit
        self._tokenizer, self._tokens = tokenizer, Tokens(tokenizer)
        self._limits = limits_of(model)
        self._mean, self._std = pixel_scale(where.device)

    def pieces(self, text: str) -> list[str]:
        return pieces_of(self._tokenizer, text)

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        path = LONG if kind == "long" else SHORT
        limit = self._limits.long if path == LONG else self._limits.short
        head = self._model.long_features if path == LONG else self._model.short_features

        def encode(part: Sequence[str]) -> Tensor:
            whole = [self._tokens(text, UNCUT) for text in part]
            self.cut[kind] += sum(len(ids) > limit for ids in whole)
            fitting = [(path, self._tokens(text, limit)) for text in part]
            packing, which = pack(fitting)
            return head(self._model.encode_texts(packing.to(self.where.device)))[which]

        return features(texts, TEXTS, encode, self.where)

    def encode_boxes(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[Any]]
    ) -> list[Features]:
        if self._fit == "squash":
            return super().encode_boxes(images, boxes)
        moved = [
            np.array(self._fitted(image, own)[1]).reshape(-1, 4)
            for image, own in zip(images, boxes, strict=True)
        ]
        return super().encode_boxes(images, moved)

    def describe(self) -> dict[str, Any]:
        short, long = self._limits.short, self._limits.long
        return {
            "family": "FG-CLIP",
            "text_lengths": {"short": short, "long": long, "region": short},
            "image_size": self._limits.side,
            "image_fit": self._fit,
            "boxes": "RoIAlign on the dense map: the last layer without attention",
            "precision": self.where.precision,
        }

    def _fitted(self, image: Image.Image, boxes: Any = ()) -> tuple[NDArray[np.uint8], Any]:
        return fitted(image, self._limits.side, self._fit, boxes)

    def _pixels(self, images: Sequence[Image.Image]) -> Tensor:
        stacked = torch.from_numpy(np.stack([self._fitted(image)[0] for image in images]))
        return (stacked.to(self.where.device) - self._mean) / self._std

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self._model.encode_images(self._pixels(images), dense=False)[0]

    def maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        dense = self._model.encode_images(self._pixels(images))[1]
        assert dense is not None
        return list(dense)
