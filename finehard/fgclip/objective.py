"""The loss of one step: encodes a batch and combines the losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from finehard.fgclip import distributed, losses
from finehard.fgclip.batch import Batch
from finehard.fgclip.model import FGCLIP
from finehard.settings.ranges import Amount, Count

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Pixel statistics of CLIP's training images, RGB in [0, 1] (openai/CLIP, clip.py)."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the losses (0 disables one), and which texts are negatives."""

    long_weight: Amount = 1.0
    short_weight: Amount = 1.0
    region_weight: Amount = 0.1
    hard_weight: Amount = 0.5
    tic_weight: Amount = 0.0
    """FG-CLIP 2's text-to-text loss within each process, averaged over texts; published: 0.1."""
    cmr_weight: Amount = 0.0
    """FG-CLIP 2's rank loss, averaged over all pairs; published: 0.4."""
    ranks: Literal["all", "own"] = "all"
    """Whose texts are a region's negatives: those of all processes, or (as published) its own."""
    mask_same: bool = True
    """Exclude texts from the negatives that differ only in case, articles or punctuation."""
    same_above: float | None = None
    """Also exclude texts whose cosine is at least this. Not for training from scratch."""
    max_negatives: Count = 10
    """Maximum number of hard negatives of a region."""


class Objective(nn.Module):
    """The model with its losses, as one module, so that DDP wraps one forward pass."""

    def __init__(self, model: FGCLIP, config: ObjectiveConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.margins: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("margins", torch.zeros(config.max_negatives))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None] * 255, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns scalars: `loss`, with gradient, and its parts, unweighted and without.

        Averaged over the processes, `loss` and its gradient are those of the whole batch.
        """
        pixels = batch.pixels
        if pixels.dtype == torch.uint8:
            pixels = (pixels - self.mean) / self.std
        return self.losses(batch, pixels)

    def losses(self, batch: Batch, pixels: Tensor) -> dict[str, Tensor]:
        """Like `forward`, with normalised `pixels`."""
        config, model = self.config, self.model
        with_regions = any(
            (config.region_weight, config.hard_weight, config.tic_weight, config.cmr_weight)
        )
        image, dense = model.encode_images(pixels, dense=with_regions)
        states = model.encode_texts(batch.packing)
        image = _unit(image)
        # DDP expects a gradient for every parameter, also for those that this batch does not use.
        tables = model.text_model.embeddings
        unused = [
            model.logit_scale, model.logit_scale_finegraind, model.logit_scale_hardneg,
            tables.position_embedding.weight, model.text_projection.weight,
            tables.position_embedding_ori.weight, tables.position_embedding_res.weight,
            model.text_filip_projection.weight,
        ]  # fmt: skip
        loss = torch.stack([p.sum() * 0 for p in unused]).sum().float()
        parts = {}
        if config.long_weight:
            text = _unit(model.long_features(states.index_select(0, batch.long)))
            parts["long"] = self._global(image, text, batch.long_same)
            loss = loss + config.long_weight * parts["long"]
        # Short texts are projected once for each distinct text.
        short = _unit(model.short_features(states))
        if config.short_weight:
            text = short.index_select(0, batch.short)
            parts["short"] = self._global(image, text, batch.short_same)
            loss = loss + config.short_weight * parts["short"]
        if dense is not None:
            region = _unit(model.region_features(dense, batch.boxes, batch.images))
            if config.region_weight:
                parts["region"] = self._region(region, short, batch)
                loss = loss + config.region_weight * parts["region"]
            if config.tic_weight:
                parts["tic"] = self._tic(short, batch)
                loss = loss + config.tic_weight * parts["tic"]
            if config.hard_weight or config.cmr_weight:
                for name, weight, value in self._hard(region, short, batch):
                    parts[name] = value
                    loss = loss + weight * value
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}}

    def _global(self, image: Tensor, text: Tensor, same: Tensor) -> Tensor:
        return self._both_ways(image, text, same, self.model.logit_scale.exp(), "all")

    def _region(self, region: Tensor, short: Tensor, batch: Batch) -> Tensor:
        text = short.index_select(0, batch.regions)
        scale = self.model.logit_scale_finegraind.exp()
        return self._both_ways(
            region[: len(text)], text, batch.region_same, scale, self.config.ranks
        )

    def _both_ways(
        self, image: Tensor, text: Tensor, same: Tensor, scale: Tensor, where: str
    ) -> Tensor:
        """Returns this process's share of InfoNCE, the mean of both directions."""
        if where == "own":
            counts, start = [len(image)], 0
            images, texts, sames = image, text, same
        else:
            counts = distributed.row_counts(len(image), image.device)
            start = sum(counts[: distributed.rank()])
            images, texts, sames = (distributed.gather(x, counts) for x in (image, text, same))
        mask = self._same(same, sames, text, texts)
        target = torch.arange(len(image), device=image.device) + start
        loss = losses.contrastive(image, texts, target, scale, mask)
        loss = loss + losses.contrastive(text, images, target, scale, mask)
        return loss.sum() / 2 * len(counts) / max(1, sum(counts))

    def _same(self, rows: Tensor, columns: Tensor, text: Tensor, texts: Tensor) -> Tensor | None:
        mask = rows[:, None] == columns if self.config.mask_same else None
        if self.config.same_above is not None:
            with torch.no_grad():
                close = text @ texts.T >= self.config.same_above
            mask = close if mask is None else mask | close
        return mask

    def _tic(self, short: Tensor, batch: Batch) -> Tensor:
        texts = short.index_select(0, batch.regions.unique())
        if not len(texts):
            return short.sum() * 0
        return losses.text_separation(texts).mean()

    def _hard(self, region: Tensor, short: Tensor, batch: Batch) -> list[tuple[str, float, Tensor]]:
        config = self.config
        negatives = batch.negatives[:, : config.max_negatives]
        valid = negatives >= 0
        image = region.index_select(0, batch.hard_boxes)
        text = short.index_select(0, batch.positives)
        false = short.index_select(0, negatives.clamp(min=0).flatten()).unflatten(
            0, negatives.shape
        )
        parts = []
        if config.hard_weight:
            scale = self.model.logit_scale_hardneg.exp()
            each = losses.hard_negative(image, text, false, valid, scale)
            share = _share(len(each), config.ranks, each.device)
            parts.append(("hard", config.hard_weight, each.sum() * share))
        if config.cmr_weight:
            margins = self.margins[: negatives.shape[1]]
            each, gaps = losses.ranking(image, text, false, valid, margins)
            share = _share(int(valid.sum()), config.ranks, each.device)
            parts.append(("cmr", config.cmr_weight, each.sum() * share))
            if self.training:
                self._update_margins(gaps, valid)
        return parts

    @torch.no_grad()
    def _update_margins(self, gaps: Tensor, valid: Tensor) -> None:
        padding = (0, len(self.margins) - gaps.shape[1])
        sums = functional.pad(gaps.float().sum(0), padding)
        counts = functional.pad(valid.float().sum(0), padding)
        sums, counts = distributed.all_sum(torch.stack([sums, counts]))
        self.margins = torch.where(counts > 0, sums / counts.clamp(min=1), self.margins)


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.float(), dim=-1)


def _share(rows: int, where: str, device: torch.device) -> float:
    """Returns the factor that turns a sum over this process's rows into the mean over all rows."""
    counts = [rows] if where == "own" else distributed.row_counts(rows, device)
    return len(counts) / max(1, sum(counts))
