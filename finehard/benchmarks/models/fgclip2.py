"""FG-CLIP 2: models trained here with the SigLIP 2 backbone, and published checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from finehard.benchmarks.model import Features, TextKind
from finehard.benchmarks.models.forward import TEXTS, ForwardModel, Place, features, pieces_of
from finehard.fgclip.evaluate import limits_of
from finehard.fgclip.naflex import Naflex, Patches, alone, batch_of
from finehard.fgclip.packing import LONG, SHORT
from finehard.fgclip.padded import pad_texts
from finehard.fgclip.siglip2 import FGCLIP2
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import UNCUT, Tokens


class FGClip2Model(ForwardModel):
    """An FG-CLIP 2 as published (arXiv 2510.10921): texts in lower case, each kind by a head of its
    own, long ones with the positions for 196 tokens; images at the number of patches that each
    fills; boxes by RoIAlign on the dense map, which has the image's own height and width.
    """

    batch = 32  # of up to 1,024 patches, where other families have 196 to 576

    def __init__(
        self, model: FGCLIP2, tokenizer: Any, where: Place, name: str, sample: SampleConfig
    ) -> None:
        super().__init__(name, where)
        self._model, self._lowercase = model, sample.lowercase
        self._tokenizer, self._tokens = tokenizer, Tokens(tokenizer)
        self._limits = limits_of(model)
        self._naflex = Naflex(model.config.vision_config.patch_size, sample.patches)
        self._heads = {
            "short": model.short_features,
            "long": model.long_features,
            "region": model.region_text_features,
        }

    def pieces(self, text: str) -> list[str]:
        return pieces_of(self._tokenizer, self._cased(text))

    def encode_texts(self, texts: Sequence[str], kind: TextKind) -> Features:
        lengths = (self._limits.short, self._limits.long)
        path = LONG if kind == "long" else SHORT
        limit = lengths[path]

        def encode(part: Sequence[str]) -> Tensor:
            cased = [self._cased(text) for text in part]
            self.cut[kind] += sum(len(self._tokens(text, UNCUT)) > limit for text in cased)
            fitting = [(path, self._tokens(text, limit)) for text in cased]
            padded, which = pad_texts(fitting, lengths, self._tokens.padding)
            states = self._model.encode_texts(padded.to(self.where.device))
            return self._heads[kind](states)[which]

        return features(texts, TEXTS, encode, self.where)

    def describe(self) -> dict[str, Any]:
        short, long = self._limits.short, self._limits.long
        return {
            "family": "FG-CLIP 2",
            "text_lengths": {"short": short, "long": long, "region": short},
            "text_case": "lower" if self._lowercase else "as it is",
            "image_size": f"at most {self._naflex.most} patches",
            "image_fit": "the image's own aspect ratio",
            "boxes": "RoIAlign on the dense map: the pooling head, each patch asking for itself",
            "precision": self.where.precision,
        }

    def _cased(self, text: str) -> str:
        return text.lower() if self._lowercase else text

    def _patches(self, images: Sequence[Image.Image]) -> Patches:
        pictures = [alone(image, self._naflex) for image in images]
        return batch_of(pictures, self._naflex.patch).to(self.where.device)

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        return self._model.encode_images(self._patches(images), dense=False)[0]

    def maps(self, images: Sequence[Image.Image]) -> Sequence[Tensor]:
        dense = self._model.encode_images(self._patches(images))[1]
        return [
            own[: height * width].T.unflatten(1, (height, width))
            for own, (height, width) in zip(dense.features, dense.shapes.tolist(), strict=True)
        ]
