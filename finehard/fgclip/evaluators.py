"""Evaluators: what is measured of a model on shards, by name or as a user's module:attribute.

An evaluator is a function of model and data that yields (name, value). It runs without gradients,
the model in evaluation mode. Ties count as wrong: a model that scores everything alike gets 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from finehard import registry
from finehard.fgclip.batch import Batch
from finehard.fgclip.data import Batches, Limits, Part, Source, stream
from finehard.fgclip.model import Network
from finehard.fgclip.objective import pixel_scale
from finehard.fgclip.sampler import Sampler, Shard
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import Tokens

_ALL = 10_000
_TIE = 1e-6
_ROWS = 2048


class Features(NamedTuple):
    """Normalised features of all samples, on the model's device.

    images               (N, D), a row for each sample
    short, long          (T, D), a row for each distinct caption
    short_of, long_of    (S,) and (L,) int64, the caption of each sample that has one
    regions              (R, D)
    classes              (C, D), a row for each distinct short expression of a region
    region_classes       (R,) int64, the class of each region
    hard                 of each batch, (H, 1 + K) cosines of the regions that have hard negatives:
                         with their own text, then with the negatives, -inf where there is none
    short_images, long_images
                         (S,) and (L,) int64, the rows of the samples that have such a caption;
                         None: all N
    """

    images: Tensor
    short: Tensor
    long: Tensor
    short_of: Tensor
    long_of: Tensor
    regions: Tensor
    classes: Tensor
    region_classes: Tensor
    hard: list[Tensor]
    short_images: Tensor | None = None
    long_images: Tensor | None = None


class EvalData:
    """Samples of `shards`, in order, with all their regions and hard negatives.

    `images` and `skipped` count those of the latest pass over `batches`.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        tokenizer: Any,
        sample: SampleConfig,
        limits: Limits,
        device: torch.device,
        *,
        samples: int | None = None,
        batch_size: int = 64,
        workers: int = 0,
        cache_gb: float = 50.0,
    ) -> None:
        everything = dataclasses.replace(
            sample,
            boxes=_ALL,
            negatives=_ALL,
            half_truths=0,
            choose="first",
            long_expr=0.0,
            captions="first",
            alt_text=0.0,
        )
        source = Source(shards, everything, limits.side, 0, cache_gb, limits.patch)
        sampler = Sampler(shards, None)
        if samples is not None:
            sampler.total = min(sampler.total, samples)
        self._total = sampler.total
        tokens, part = Tokens(tokenizer), Part(batch_size)
        self.tokenizer = tokenizer
        self.device = device
        self.images = self.skipped = 0
        self._batches = Batches(source, sampler, part, tokens, limits, keep_last=True)
        self._workers = workers
        self._features: Features | None = None

    def batches(self) -> Iterator[Batch]:
        """Yields the batches, on the model's device, with `pixels` normalised for the model."""
        self.images = self.skipped = 0
        mean, std = pixel_scale(self.device)
        for batch in stream(self._batches, range(self._batches.per_epoch), self._workers):
            self.images += len(batch.keys)
            batch = batch.to(self.device)
            if isinstance(batch.pixels, Tensor):
                batch = dataclasses.replace(batch, pixels=(batch.pixels - mean) / std)
            yield batch
        self.skipped = self._total - self.images

    def features(self, model: Network) -> Features:
        """Returns the features of all samples; computed once, whichever evaluators need them."""
        if self._features is None:
            self._features = _extract(model, self.batches())
        return self._features


Evaluator = Callable[[Network, EvalData], Iterable[tuple[str, float]]]


def retrieval(model: Network, data: EvalData) -> Iterator[tuple[str, float]]:
    """Yields long_i2t_r1 ... short_t2i_r10: how often an image's caption is among the first 1, 5,
    10 of all distinct captions, and how often an image of a distinct caption is among the first.

    Images without a caption of a kind do not count there; nothing is yielded if no image has one.
    """
    features = data.features(model)
    for name, texts, of, rows in (
        ("long", features.long, features.long_of, features.long_images),
        ("short", features.short, features.short_of, features.short_images),
    ):
        images = features.images if rows is None else features.images[rows]
        if not len(images):
            continue
        for direction, ranks in (("i2t", rank_of(images, texts, of)),
                                 ("t2i", best_rank_of(texts, images, of))):  # fmt: skip
            for k in (1, 5, 10):
                yield f"{name}_{direction}_r{k}", float((ranks < k).float().mean())


def region_classification(model: Network, data: EvalData) -> Iterator[tuple[str, float]]:
    """Yields region_top1 and region_top5: how often a region's short expression is the first, or
    among the first 5, of all distinct short expressions."""
    features = data.features(model)
    if len(features.regions):
        ranks = rank_of(features.regions, features.classes, features.region_classes)
        for k in (1, 5):
            yield f"region_top{k}", float((ranks < k).float().mean())
    yield "regions", len(features.regions)
    yield "classes", len(features.classes)


def hard_negatives(model: Network, data: EvalData) -> Iterator[tuple[str, float]]:
    """Yields hard_top1: how often a region's short expression beats all its hard negatives, and
    hard_chance: how often it would by chance."""
    count = right = negatives = 0
    chance = 0.0
    for cosines in data.features(model).hard:
        valid = cosines[:, 1:] > float("-inf")
        right += int((cosines[:, :1] - cosines[:, 1:] > _TIE).all(1).sum())
        count += len(cosines)
        negatives += int(valid.sum())
        chance += float((1 / (1 + valid.sum(1))).sum())
    if count:
        yield "hard_top1", right / count
        yield "hard_chance", chance / count
    yield "hard_regions", count
    yield "hard_negatives", negatives


EVALUATORS: dict[str, Callable[[], Evaluator]] = {
    "retrieval": lambda: retrieval,
    "region_classification": lambda: region_classification,
    "hard_negatives": lambda: hard_negatives,
}


def load_evaluators(specs: Sequence[str], key: str) -> dict[str, Evaluator]:
    """Returns the evaluators by spec: a name in `EVALUATORS` or "module:attribute".

    Raises `UsageError`, which begins with the config key `key`.
    """
    return {spec: registry.load(spec, EVALUATORS, key) for spec in specs}


def rank_of(rows: Tensor, columns: Tensor, own: Tensor) -> Tensor:
    """Returns (n,) the rank, from 0, of column `own` (n,) among (N, D) `columns` by the score of
    each of (n, D) `rows`; equal scores rank above it."""
    ranks = []
    for start in range(0, len(rows), _ROWS):
        scores = rows[start : start + _ROWS] @ columns.T
        target = own[start : start + _ROWS, None]
        own_scores = scores.gather(1, target)
        ranks.append((scores >= own_scores - _TIE).scatter(1, target, False).sum(1))
    return torch.cat(ranks)


def best_rank_of(rows: Tensor, columns: Tensor, row_of: Tensor) -> Tensor:
    """Returns (n,) the best rank, from 0, among (N, D) `columns`, of those that belong to each of
    (n, D) `rows` by `row_of` (N,): how many of the others score as high as the best of them."""
    ranks = []
    for start in range(0, len(rows), _ROWS):
        scores = rows[start : start + _ROWS] @ columns.T
        number = torch.arange(start, start + len(scores), device=rows.device)
        own = row_of == number[:, None]
        best = scores.masked_fill(~own, float("-inf")).amax(1, keepdim=True)
        ranks.append(((scores >= best - _TIE) & ~own).sum(1))
    return torch.cat(ranks)


class _Distinct:
    """Features of distinct texts, and which of them each sample has."""

    def __init__(self) -> None:
        self._number: dict[int, int] = {}
        self._features: list[Tensor] = []
        self.of: list[int] = []

    def add(self, texts: Tensor, features: Tensor) -> None:
        """Adds (n,) `texts`, equal numbers for equal texts, and their (n, D) `features`."""
        for text, row in zip(texts.tolist(), features, strict=True):
            if text not in self._number:
                self._number[text] = len(self._number)
                self._features.append(row)
            self.of.append(self._number[text])

    def features(self) -> Tensor:
        """Returns the (T, D) features."""
        return torch.stack(self._features)


def _extract(model: Network, batches: Iterable[Batch]) -> Features:
    images, regions, hard = [], [], []
    short_images, long_images = [], []
    count = 0
    short, long, classes = _Distinct(), _Distinct(), _Distinct()
    for batch in batches:
        image, dense = model.encode_images(batch.pixels)
        assert dense is not None
        states = model.encode_texts(batch.packing)
        short_images.append(batch.short_images + count)
        long_images.append(batch.long_images + count)
        count += len(image)
        texts = normalize(model.region_text_features(states), dim=-1)
        images.append(normalize(image, dim=-1))
        short.add(batch.short_same, normalize(model.short_features(states[batch.short]), dim=-1))
        long.add(batch.long_same, normalize(model.long_features(states[batch.long]), dim=-1))
        region = normalize(model.region_features(dense, batch.boxes, batch.images), dim=-1)
        regions.append(region)
        classes.add(batch.region_same, texts[batch.regions])
        hard.append(_hard_cosines(region, texts, batch))
    device = images[0].device
    return Features(
        torch.cat(images),
        short.features() if short.of else images[0][:0],
        long.features() if long.of else images[0][:0],
        torch.tensor(short.of, dtype=torch.int64, device=device),
        torch.tensor(long.of, dtype=torch.int64, device=device),
        torch.cat(regions),
        classes.features() if classes.of else images[0][:0],
        torch.tensor(classes.of, dtype=torch.int64, device=device),
        hard,
        torch.cat(short_images),
        torch.cat(long_images),
    )


def _hard_cosines(region: Tensor, texts: Tensor, batch: Batch) -> Tensor:
    hard = region[batch.hard_boxes]
    own = (hard * texts[batch.positives]).sum(-1, keepdim=True)
    others = torch.einsum("rd,rkd->rk", hard, texts[batch.negatives.clamp(min=0)])
    return torch.cat([own, others.masked_fill(batch.negatives < 0, float("-inf"))], 1)
