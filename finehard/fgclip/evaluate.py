"""What a model can do on shards: image-text retrieval, region classification, hard negatives.

Ties count as wrong: a model that gives everything the same score gets 0.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from finehard.console.arguments import Parser
from finehard.errors import UsageError
from finehard.fgclip.batch import Batch
from finehard.fgclip.data import Batches, Limits, Part, Source, stream
from finehard.fgclip.model import FGCLIP, load
from finehard.fgclip.objective import MEAN, STD
from finehard.fgclip.order import Order, Shard
from finehard.fgclip.reader import find_shards
from finehard.fgclip.sample import SampleConfig
from finehard.fgclip.tokenizer import Tokens, load_tokenizer
from finehard.io import storage

SAMPLE = "sample.json"
"""In a trained model's folder: how it saw its samples, for whoever evaluates it."""

_EVERYTHING = 10_000
_TIE = 1e-6
_ROWS = 2048


def limits_of(model: FGCLIP) -> Limits:
    """What `model` takes."""
    tables = model.text_model.embeddings
    return Limits(
        model.config.vision_config.image_size,
        tables.position_embedding.num_embeddings,
        tables.position_embedding_res.num_embeddings,
    )


@torch.no_grad()
def evaluate(
    model: FGCLIP,
    tokenizer: Any,
    shards: Sequence[Shard],
    sample: SampleConfig,
    *,
    samples: int | None = None,
    batch_size: int = 64,
    workers: int = 0,
    cache_gb: float = 50.0,
) -> dict[str, float]:
    """Figures by name, in [0, 1], and how many images, regions, classes and negatives they rest on.

    long_i2t_r1 ... short_t2i_r10  retrieval: how often an image's own caption is among the first 1,
                                   5, 10 of all captions, and the other way round
    region_top1, region_top5       how often a region's short expression is the first, or among the
                                   first 5, of all different short expressions
    hard_top1                      how often it beats all hard negatives of the region
    hard_chance                    how often it would by chance

    All regions and negatives are looked at, of the first `samples` samples, as they lie. Figures
    without a case are left out.
    """
    everything = dataclasses.replace(
        sample, boxes=_EVERYTHING, negatives=_EVERYTHING, choose="first", long_expr=0.0
    )
    limits = limits_of(model)
    source = Source(shards, everything, limits.side, 0, cache_gb)
    order = Order(shards, None)
    if samples is not None:
        order.total = min(order.total, samples)
    batches = Batches(source, order, Part(batch_size), Tokens(tokenizer), limits, keep_last=True)
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    seen = _Seen()
    for batch in stream(batches, range(batches.per_epoch), workers):
        seen.add(model, batch.to(device))
    model.train(was_training)
    return seen.figures()


class _Seen:
    """Features of all batches; hard negatives are judged at once."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.long: list[Tensor] = []
        self.short: list[Tensor] = []
        self.regions: list[Tensor] = []
        self.own: list[int] = []
        self.classes: dict[int, tuple[int, Tensor]] = {}
        self.hard = self.right = self.negatives = 0
        self.chance = 0.0
        self.skipped = 0

    def add(self, model: FGCLIP, batch: Batch) -> None:
        mean, std = (batch.boxes.new_tensor(x)[:, None, None] * 255 for x in (MEAN, STD))
        image, dense = model.encode_images((batch.pixels - mean) / std)
        assert dense is not None
        states = model.encode_texts(batch.packing)
        short = normalize(model.short_features(states), dim=-1)
        self.images.append(normalize(image, dim=-1))
        self.short.append(short[batch.short])
        self.long.append(normalize(model.long_features(states[batch.long]), dim=-1))
        self.skipped += len(batch.skipped)
        if not len(batch.boxes):
            return
        region = normalize(model.region_features(dense, batch.boxes, batch.images), dim=-1)
        self.regions.append(region)
        for name, row in zip(batch.region_same.tolist(), batch.regions.tolist(), strict=True):
            self.own.append(self.classes.setdefault(name, (len(self.classes), short[row]))[0])
        valid = batch.negatives >= 0
        hard = region[batch.hard_boxes]
        own = (hard * short[batch.positives]).sum(-1, keepdim=True)
        others = torch.einsum("rd,rkd->rk", hard, short[batch.negatives.clamp(min=0)])
        self.right += int(((own - others > _TIE) | ~valid).all(1).sum())
        self.hard += len(hard)
        self.negatives += int(valid.sum())
        self.chance += float((1 / (1 + valid.sum(1))).sum())

    def figures(self) -> dict[str, float]:
        images = torch.cat(self.images)
        found: dict[str, float] = {}
        rows = torch.arange(len(images), device=images.device)
        for name, texts in (("long", torch.cat(self.long)), ("short", torch.cat(self.short))):
            for way, a, b in (("i2t", images, texts), ("t2i", texts, images)):
                above = better(a, b, rows)
                for k in (1, 5, 10):
                    found[f"{name}_{way}_r{k}"] = float((above < k).float().mean())
        if self.regions:
            classes = torch.stack([feature for _, feature in self.classes.values()])
            above = better(torch.cat(self.regions), classes, torch.tensor(self.own).to(rows.device))
            for k in (1, 5):
                found[f"region_top{k}"] = float((above < k).float().mean())
        if self.hard:
            found["hard_top1"] = self.right / self.hard
            found["hard_chance"] = self.chance / self.hard
        counts = {
            "images": len(images), "regions": len(self.own), "classes": len(self.classes),
            "hard_regions": self.hard, "hard_negatives": self.negatives, "skipped": self.skipped,
        }  # fmt: skip
        return {**found, **counts}


def better(rows: Tensor, columns: Tensor, own: Tensor) -> Tensor:
    """(n,) how many other of (N, D) `columns` score at least as high as column `own` (n,) does,
    for each of (n, D) `rows`."""
    found = []
    for start in range(0, len(rows), _ROWS):
        scores = rows[start : start + _ROWS] @ columns.T
        target = own[start : start + _ROWS, None]
        mine = scores.gather(1, target)
        found.append((scores >= mine - _TIE).scatter(1, target, False).sum(1))
    return torch.cat(found)


def sample_config(folder: str | os.PathLike[str]) -> SampleConfig:
    """How the model in `folder` saw its samples when it was trained; as published if unknown."""
    path = Path(folder) / SAMPLE
    if not path.is_file():
        return SampleConfig()
    values = json.loads(path.read_text("utf-8"))
    known = {f.name for f in dataclasses.fields(SampleConfig)}
    return SampleConfig(**{k: v for k, v in values.items() if k in known})


def table(figures: dict[str, float]) -> str:
    """The figures as text, for people."""
    lines = [f"{'':20}{'R@1':>7}{'R@5':>7}{'R@10':>7}"]
    for name in ("long", "short"):
        for way, words in (("i2t", "image to text"), ("t2i", "text to image")):
            values = "".join(f"{figures[f'{name}_{way}_r{k}']:7.3f}" for k in (1, 5, 10))
            lines.append(f"{name + ', ' + words:20}{values}")
    if "region_top1" in figures:
        lines.append(
            f"region classification, {figures['regions']:.0f} regions, {figures['classes']:.0f} "
            f"classes: top-1 {figures['region_top1']:.3f}, top-5 {figures['region_top5']:.3f}"
        )
    if "hard_top1" in figures:
        lines.append(
            f"hard negatives, {figures['hard_regions']:.0f} regions: top-1 "
            f"{figures['hard_top1']:.3f} (chance {figures['hard_chance']:.3f})"
        )
    lines.append(f"{figures['images']:.0f} images, {figures['skipped']:.0f} skipped")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        prog="finehard evaluate model", description="Evaluates a CLIP or FG-CLIP model on shards."
    )
    parser.add_argument("--model", required=True, help="a model folder")
    parser.add_argument("--data", required=True, nargs="+", help="dataset folders or URIs")
    parser.add_argument("--samples", type=int, help="look at the first so many only")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", help="also write the figures to this JSON file")
    args = parser.parse_args(argv)
    if args.batch_size < 1 or (args.samples is not None and args.samples < 1):
        raise UsageError("--batch-size and --samples must be at least 1")
    shards = find_shards(args.data)
    model = load(args.model).to("cuda" if torch.cuda.is_available() else "cpu")
    figures = evaluate(
        model, load_tokenizer(args.model), shards, sample_config(args.model),
        samples=args.samples, batch_size=args.batch_size, workers=args.workers,
    )  # fmt: skip
    print(table(figures))
    if args.output:
        storage.write(storage.local(args.output), json.dumps(figures, indent=1).encode())
    return 0


if __name__ == "__main__":
    from finehard.cli import main as finehard

    sys.exit(finehard(["evaluate", "model", *sys.argv[1:]]))
