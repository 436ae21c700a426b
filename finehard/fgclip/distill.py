"""Distillation: a frozen teacher's similarities of images and captions, which a model imitates."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from finehard.errors import UsageError
from finehard.fgclip.batch import Batch
from finehard.fgclip.evaluate import limits_of
from finehard.fgclip.model import Network, load
from finehard.fgclip.naflex import Patches
from finehard.fgclip.objective import pixel_scale
from finehard.fgclip.packing import LONG, SHORT, Packing, pack
from finehard.fgclip.padded import PaddedTexts, pad_texts
from finehard.fgclip.tokenizer import Tokens, load_tokenizer
from finehard.fgclip.transfer import to_device


class Teacher:
    """A frozen model that looks at the images and captions of batches."""

    def __init__(self, folder: str, student: Network, device: torch.device, bf16: bool) -> None:
        """Loads the model in `folder`. Raises `FinehardError`, also where it takes other images
        than `student`: NaFlex patches of another size, or patches instead of squares."""
        self._model = load(folder).to(device).eval().requires_grad_(False)
        self._tokens = Tokens(load_tokenizer(folder))
        self._limits, self._bf16 = limits_of(self._model), bf16
        if self._limits.patch != limits_of(student).patch:
            raise UsageError(
                f"objective.teacher: {folder} takes images of another kind than the model: give "
                "a teacher with the same backbone"
            )
        self._mean, self._std = pixel_scale(device)

    @torch.no_grad()
    def see(self, batch: Batch) -> Batch:
        """Returns `batch`, which is on the teacher's device, with the teacher's features.

        Squares are scaled from the model's side to the teacher's.
        """
        model, device = self._model, batch.short.device
        texts = [
            (kind, self._tokens(text, limit))
            for kind, limit, captions in zip(
                (LONG, SHORT),
                (self._limits.long, self._limits.short),
                zip(*batch.captions, strict=True),
                strict=True,
            )
            for text in captions
        ]
        packing: Packing | PaddedTexts
        if self._limits.patch is None:
            packing, which = pack(texts)
        else:
            lengths = (self._limits.short, self._limits.long)
            packing, which = pad_texts(texts, lengths, self._tokens.padding)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            image, _ = model.encode_images(self._pixels(batch.pixels), dense=False)
            states = model.encode_texts(packing.to(device))
            long, short = to_device(torch.tensor(which), device).chunk(2)
            features = (
                image,
                model.long_features(states.index_select(0, long)),
                model.short_features(states.index_select(0, short)),
            )
        image, long, short = (normalize(f.float(), dim=-1) for f in features)
        image = image * model.logit_scale.exp()
        return replace(batch, teacher=torch.stack((image, long, short), 1))

    def _pixels(self, pixels: Tensor | Patches) -> Tensor | Patches:
        if isinstance(pixels, Patches):
            return pixels
        squares = pixels.float()
        if squares.shape[-1] != self._limits.side:
            size = (self._limits.side, self._limits.side)
            squares = interpolate(squares, size, mode="bilinear", antialias=True)
        return (squares - self._mean) / self._std
