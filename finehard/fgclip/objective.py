"""The loss of one step: features of a batch, and the losses of features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from finehard.fgclip import distributed, losses
from finehard.fgclip.batch import NO_TEACHER, Batch
from finehard.fgclip.chunked import ELEMENTS, LeftOut
from finehard.fgclip.config import ObjectiveConfig
from finehard.fgclip.distributed import Rows
from finehard.fgclip.model import Network

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Pixel statistics of CLIP's training images, RGB in [0, 1] (openai/CLIP, clip.py)."""
MOST_THRESHOLD = 10.0
"""The rank loss's threshold lies between 0 and this (FG-CLIP 2's published code)."""
HUNDRED = 4.6052
"""Logarithm of the region scales that FG-CLIP 2 begins with (its published code)."""
BIAS = -10.0
"""The sigmoid loss's first bias (SigLIP, arXiv 2303.15343, algorithm 1)."""


def pixel_scale(device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Returns what is subtracted from pixels of 0 to 255 and what they are divided by then, each
    (3, 1, 1)."""
    mean, std = (torch.tensor(x, device=device)[:, None, None] * 255 for x in (MEAN, STD))
    return mean, std


class Features(NamedTuple):
    """Normalised float32 features of images, texts and regions, and the learned scalars.

    image               (B, D)
    long, short         (L, D), (S, D), of the images that have such a caption
    region              (R, D) boxes, region_text (R, D) their texts
    hard                (H, D) boxes that have negatives, positive (H, D), negative (H, K, D)
    told                (C, D) images of captions with false versions, caption (C, D), false
                        (C, F, D); none without `half_truth_weight`
    scalars             (4,) scales of images, of regions, of hard negatives; bias of `sigmoid`
    """

    image: Tensor
    long: Tensor
    short: Tensor
    region: Tensor
    region_text: Tensor
    hard: Tensor
    positive: Tensor
    negative: Tensor
    told: Tensor
    caption: Tensor
    false: Tensor
    scalars: Tensor


class Labels(NamedTuple):
    """What is known of the texts of `Features`, row by row: `Batch`'s ids, `valid` (H, K) of
    negatives, `told_valid` (C, F) of false versions, and the features of `Batch.teacher`.

    `long_images` (L,) and `short_images` (S,) are the rows of `image` that the captions are of.
    """

    long: Tensor
    short: Tensor
    long_images: Tensor
    short_images: Tensor
    region: Tensor
    region_text: Tensor
    positive: Tensor
    negative: Tensor
    valid: Tensor
    told_valid: Tensor
    teacher: Tensor = NO_TEACHER


def labels_of(batch: Batch, most: int) -> Labels:
    """Returns the labels of `batch`, with at most `most` negatives of each region."""
    return Labels(
        batch.long_same, batch.short_same, batch.long_images, batch.short_images,
        batch.region_same, batch.region_text, batch.positive_same,
        batch.negative_same[:, :most], batch.negatives[:, :most] >= 0,
        batch.long.new_zeros((0, 0)) >= 0
        if batch.half_truths is None
        else batch.half_truths.false >= 0,
        batch.teacher,
    )  # fmt: skip


def join(features: Sequence[Features], labels: Sequence[Labels]) -> tuple[Features, Labels]:
    """Returns the rows of several batches as one; the scalars are those of the first."""
    starts = accumulate((len(f.image) for f in features), initial=0)
    labels = [
        x._replace(long_images=x.long_images + start, short_images=x.short_images + start)
        for x, start in zip(labels, starts, strict=False)
    ]
    joined = Features(*(_joined(parts) for parts in zip(*features, strict=True)))
    return (
        joined._replace(scalars=features[0].scalars),
        Labels(*(_joined(parts) for parts in zip(*labels, strict=True))),
    )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Returns rows of several parts; where each row has several texts, padded to the most."""
    several = parts[0].ndim > 2 or parts[0].ndim == 2 and not parts[0].is_floating_point()
    return torch.cat(list(padded(parts) if several else parts))


class Objective(nn.Module):
    """The model with its losses, as one module, so that DDP wraps one forward pass."""

    def __init__(self, model: Network, config: ObjectiveConfig, elements: int = ELEMENTS) -> None:
        """At most `elements` logits of a loss are in memory at a time."""
        super().__init__()
        self.model = model
        self.config = config
        self._elements = elements
        self.threshold: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("threshold", torch.zeros(()))
        for name, values in zip(("mean", "std"), pixel_scale(), strict=True):
            self.register_buffer(name, values, persistent=False)
        # DDP expects a gradient for every parameter, also for those that a batch does not use.
        towers = ("text_model.encoder", "text_model.embeddings.token", "vision_model")
        self._heads = [p for n, p in model.named_parameters() if not n.startswith(towers)]

    def forward(self, batch: Batch) -> Features:
        """Returns the features of `batch`, whose pixels are normalised here if they are uint8."""
        pixels = batch.pixels
        if isinstance(pixels, Tensor) and pixels.dtype == torch.uint8:
            pixels = (pixels - self.mean) / self.std
        config, model = self.config, self.model
        regions = any((config.region_weight, config.hard_weight, config.tic_weight))
        image, dense = model.encode_images(pixels, dense=regions)
        states = model.encode_texts(batch.packing)
        negatives = batch.negatives[:, : config.max_negatives].clamp(min=0)
        # Short and region texts are projected once for each distinct text.
        text = _unit(model.region_text_features(states))
        if dense is None:
            region = torch.zeros((len(batch.boxes), image.shape[1]), device=image.device)
        else:
            region = _unit(model.region_features(dense, batch.boxes, batch.images))
        told, caption, false = self._told(batch, image, states, text)
        return Features(
            image=_unit(image),
            long=_unit(model.long_features(states.index_select(0, batch.long))),
            short=_unit(model.short_features(states.index_select(0, batch.short))),
            region=region[: len(batch.regions)],
            region_text=text.index_select(0, batch.regions),
            hard=region.index_select(0, batch.hard_boxes),
            positive=text.index_select(0, batch.positives),
            negative=text.index_select(0, negatives.flatten()).unflatten(0, negatives.shape),
            told=told,
            caption=caption,
            false=false,
            scalars=self._scalars(),
        )

    def _told(
        self, batch: Batch, image: Tensor, states: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns `told`, `caption` and `false` of the features."""
        captions = batch.half_truths
        if captions is None or not self.config.half_truth_weight:
            return text[:0], text[:0], text[:0].reshape(0, 0, text.shape[1])

        def encoded(which: Tensor, long: Tensor) -> Tensor:
            own = states.index_select(0, which)
            features = (self.model.long_features(own), self.model.short_features(own))
            return _unit(torch.where(long[:, None], *features))

        count = captions.false.shape[1]
        false = encoded(
            captions.false.clamp(min=0).flatten(), captions.long.repeat_interleave(count)
        )
        return (
            _unit(image).index_select(0, captions.images),
            encoded(captions.texts, captions.long),
            false.unflatten(0, captions.false.shape),
        )

    def _scalars(self) -> Tensor:
        model = self.model
        bias = getattr(model, "logit_bias", None)
        logs = (model.logit_scale, model.logit_scale_finegraind, model.logit_scale_hardneg)
        values = [log.float().exp().reshape(()) for log in logs]
        values.append(values[0].new_zeros(()) if bias is None else bias.float().reshape(()))
        unused = torch.stack([p.sum() * 0 for p in self._heads]).sum()
        return torch.stack(values) + unused.float()

    def batch_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the `losses` of `batch`."""
        return self.losses(self(batch), labels_of(batch, self.config.max_negatives))

    def losses(self, features: Features, labels: Labels) -> dict[str, Tensor]:
        """Returns scalars: `loss`, with gradient, and its parts, unweighted and without.

        Averaged over the processes, `loss` and its gradient are those of the whole batch. In
        training, sets the threshold of the next step's rank loss.
        """
        loss = features.scalars.sum() * 0
        parts = self._global(features, labels) + self._imitation(features, labels)
        sizes = (len(labels.region), len(labels.positive))
        if self.config.ranks == "all":
            regions, hard = distributed.rows_of(sizes)
        else:
            regions, hard = (Rows((n,)) for n in sizes)
        parts += self._region(features, labels, regions)
        if self.config.hard_weight:
            parts += self._hard(features, labels, hard)
        if self.config.half_truth_weight:
            parts.append(self._half_truths(features, labels))
        for _, weight, value in parts:
            loss = loss + weight * value
        return {"loss": loss, **{name: value.detach() for name, _, value in parts}}

    def _global(self, features: Features, labels: Labels) -> list[tuple[str, float, Tensor]]:
        config = self.config
        weights = {"long": config.long_weight, "short": config.short_weight}
        if not any(weights.values()):
            return []
        (scale, _, _, bias), device = features.scalars, features.image.device
        sizes = [len(features.image), len(features.long), len(features.short)]
        every, *each_kind = distributed.rows_of(sizes)
        gather_all = cache(partial(every.gather, features.image))
        parts = []
        for (name, weight), rows in zip(weights.items(), each_kind, strict=True):
            if not weight:
                continue
            text, same, image = getattr(features, name), getattr(labels, name), features.image
            complete = rows.counts == every.counts  # every image has this caption
            if not complete:
                image = image.index_select(0, getattr(labels, f"{name}_images"))
            target = torch.arange(len(image), device=device) + rows.start
            texts = rows.gather(text)
            left_out = self._left_out(same, rows.gather(same), text, texts)
            if config.global_loss == "softmax":
                images = gather_all() if complete else rows.gather(image)
                each = self._contrastive(image, texts, target, scale, left_out)
                each = (each + self._contrastive(text, images, target, scale, left_out)) / 2
            else:
                each = losses.sigmoid(image, texts, target, scale, bias, left_out, self._elements)
            parts.append((name, weight, each.sum() * rows.share))
        return parts

    def _imitation(self, features: Features, labels: Labels) -> list[tuple[str, float, Tensor]]:
        """Returns this process's share of the divergence from a teacher, where there is one: the
        mean over both directions and the kinds of captions that are trained on."""
        config, scale, teacher = self.config, features.scalars[0], labels.teacher
        weights = {"long": config.long_weight, "short": config.short_weight}
        kinds = [name for name, weight in weights.items() if weight]
        if not teacher.shape[2] or not kinds:
            return []
        total = 0 * scale
        sizes = [len(getattr(features, name)) for name in kinds]
        for name, rows in zip(kinds, distributed.rows_of(sizes), strict=True):
            own = getattr(labels, f"{name}_images")
            image, text = features.image.index_select(0, own), getattr(features, name)
            images, texts = rows.gather(image), rows.gather(text)
            seen, *captions = teacher.index_select(0, own).unbind(1)
            read = captions[("long", "short").index(name)]
            all_seen, all_read = rows.gather(seen), rows.gather(read)
            each = losses.imitation(image, texts, scale, seen, all_read, self._elements)
            each = each + losses.imitation(text, images, scale, read, all_seen, self._elements)
            total = total + each.sum() / 2 * rows.share
        return [("distill", config.distill_weight, total / len(kinds))]

    def _region(
        self, features: Features, labels: Labels, rows: Rows
    ) -> list[tuple[str, float, Tensor]]:
        config, text = self.config, features.region_text
        parts = []
        if config.region_weight:
            value = self._both_ways(features.region, text, labels.region, features.scalars[1], rows)
            parts.append(("region", config.region_weight, value))
        if config.tic_weight:
            distinct = losses.first_of_equal(rows.gather(labels.region_text))
            own = torch.arange(len(text), device=text.device) + rows.start
            each = losses.text_separation(
                text, rows.gather(text), own, distinct, elements=self._elements
            )
            value = each.masked_fill(~distinct[own], 0.0).sum() * len(rows.counts)
            parts.append(("tic", config.tic_weight, value / distinct.sum().clamp(min=1)))
        return parts

    def _both_ways(
        self, image: Tensor, text: Tensor, same: Tensor, scale: Tensor, rows: Rows
    ) -> Tensor:
        """Returns this process's share of InfoNCE, the mean of both directions."""
        images, texts, sames = (rows.gather(x) for x in (image, text, same))
        left_out = self._left_out(same, sames, text, texts)
        target = torch.arange(len(image), device=image.device) + rows.start
        loss = self._contrastive(image, texts, target, scale, left_out)
        loss = loss + self._contrastive(text, images, target, scale, left_out)
        return loss.sum() / 2 * rows.share

    def _contrastive(
        self, rows: Tensor, columns: Tensor, target: Tensor, scale: Tensor, left_out: LeftOut
    ) -> Tensor:
        return losses.contrastive(rows, columns, target, scale, left_out, self._elements)

    def _left_out(
        self,
        same: Tensor,
        sames: Tensor,
        text: Tensor,
        texts: Tensor,
        valid: Tensor | None = None,
    ) -> LeftOut:
        config = self.config
        ids = (same, sames) if config.mask_same else None
        if config.same_above is None:
            return LeftOut(valid, ids)
        return LeftOut(valid, ids, (text.detach(), texts.detach()), config.same_above)

    def _hard(
        self, features: Features, labels: Labels, rows: Rows
    ) -> list[tuple[str, float, Tensor]]:
        config, scale = self.config, features.scalars[2]
        image, text, false, valid = (
            features.hard, features.positive, features.negative, labels.valid,
        )  # fmt: skip
        parts = []
        if config.pair_weight:
            each = losses.hard_negative(image, text, false, valid, scale)
            parts.append(("hard", config.hard_weight * config.pair_weight, each.sum() * rows.share))
        if config.every_weight:
            value = self._every(features, labels, rows)
            parts.append(("every", config.hard_weight * config.every_weight, value))
        if config.cmr_weight:
            each, gaps = losses.ranking(image, text, false, valid, scale, self.threshold)
            pairs = self._over_ranks(valid.sum()).clamp(min=1)
            value = each.sum() / pairs
            parts.append(("cmr", config.hard_weight * config.cmr_weight, value))
            if self.training:
                self._set_threshold(gaps, valid)
        return parts

    def _half_truths(self, features: Features, labels: Labels) -> tuple[str, float, Tensor]:
        image, text, false = features.told, features.caption, features.false
        (rows,) = distributed.rows_of([len(image)])
        each = losses.hard_negative(image, text, false, labels.told_valid, features.scalars[0])
        return "half_truth", self.config.half_truth_weight, each.sum() * rows.share

    def _every(self, features: Features, labels: Labels, rows: Rows) -> Tensor:
        """Returns this process's share of InfoNCE of regions against all true and false texts, and
        of true texts against regions: the mean of both."""
        image, text, scale = features.hard, features.positive, features.scalars[2]
        missing = self.config.max_negatives - labels.valid.shape[1]
        negatives, ids, valid = (
            rows.gather(functional.pad(x, (0, 0) * (x.ndim - 2) + (0, missing))).flatten(0, 1)
            for x in (features.negative, labels.negative, labels.valid.to(torch.uint8))
        )
        images, positives, sames = (rows.gather(x) for x in (image, text, labels.positive))
        target = torch.arange(len(image), device=image.device) + rows.start
        texts = torch.cat([positives, negatives])
        real = torch.cat([torch.ones_like(sames, dtype=torch.bool), valid.bool()])
        left_out = self._left_out(labels.positive, torch.cat([sames, ids]), text, texts, real)
        loss = self._contrastive(image, texts, target, scale, left_out)
        left_out = self._left_out(labels.positive, sames, text, positives)
        loss = loss + self._contrastive(text, images, target, scale, left_out)
        return loss.sum() / 2 * rows.share

    def _over_ranks(self, count: Tensor) -> Tensor:
        """Returns what a sum is divided by, so that its mean over the processes is the mean over
        `count` elements of every process."""
        if self.config.ranks == "own":
            return count
        return distributed.all_sum(count) / distributed.world_size()

    @torch.no_grad()
    def _set_threshold(self, gaps: Tensor, valid: Tensor) -> None:
        """Sets the threshold to the mean gap: over all pairs, or over the processes' own means (as
        published), where a process without pairs counts with the present threshold."""
        total, count = gaps.sum(), valid.sum()
        if self.config.ranks == "all":
            total, count = distributed.all_sum(torch.stack([total, count]))
        mean = torch.where(count > 0, total / count.clamp(min=1), self.threshold)
        if self.config.ranks == "own":
            mean = distributed.all_sum(mean) / distributed.world_size()
        self.threshold = mean.clamp(0, MOST_THRESHOLD)


@torch.no_grad()
def begin_scales(model: Network, config: ObjectiveConfig) -> None:
    """Sets scales, and the bias that the sigmoid loss needs, as `config` wants a run to begin."""
    if config.scales != "model":
        value = model.logit_scale if config.scales == "global" else torch.tensor(HUNDRED)
        for scale in (model.logit_scale_finegraind, model.logit_scale_hardneg):
            scale.copy_(value.reshape(scale.shape))
    if config.global_loss == "sigmoid" and not hasattr(model, "logit_bias"):
        model.add_logit_bias(BIAS)


def padded(parts: Sequence[Tensor]) -> list[Tensor]:
    """Returns (n, K, ...) parts, each padded with zeros to the most K."""
    most = max(part.shape[1] for part in parts)
    return [
        functional.pad(part, (0, 0) * (part.ndim - 2) + (0, most - part.shape[1])) for part in parts
    ]


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.float(), dim=-1)
