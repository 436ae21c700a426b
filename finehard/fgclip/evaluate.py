"""Evaluates a model on shards: during training, and as `finehard evaluate model`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from finehard import registry
from finehard.console.arguments import Parser
from finehard.console.errors import exit_code
from finehard.errors import FinehardError, UsageError, typed_error_line
from finehard.fgclip.data import Limits
from finehard.fgclip.evaluators import EVALUATORS, EvalData, Evaluator, load_evaluators
from finehard.fgclip.model import Network, load
from finehard.fgclip.reader import find_shards
from finehard.fgclip.sampler import Shard
from finehard.fgclip.siglip2 import FGCLIP2, is_siglip2
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import load_tokenizer
from finehard.io import storage

SAMPLE = "sample.json"
"""In a trained model's folder: its `SampleConfig`, for later evaluation."""


def limits_of(model: Network) -> Limits:
    """Returns the image side and text lengths that `model` accepts."""
    tables, vision = model.text_model.embeddings, model.config.vision_config
    short, long = tables.position_embedding, tables.position_embedding_res
    naflex = isinstance(model, FGCLIP2)
    return Limits(
        0 if naflex else vision.image_size,
        short.num_embeddings,
        long.num_embeddings,
        vision.patch_size if naflex else None,
    )


@torch.no_grad()
def evaluate(
    model: Network,
    tokenizer: Any,
    shards: Sequence[Shard],
    sample: SampleConfig,
    evaluators: Mapping[str, Evaluator] | None = None,
    **options: Any,
) -> dict[str, float]:
    """Returns the metrics that `evaluators` yield, by name; None: all of `EVALUATORS`.

    `options` are those of `EvalData`: samples, batch_size, workers, cache_gb. Also in the result
    are the numbers of images evaluated and of samples skipped. Raises `FinehardError` where an
    evaluator fails.
    """
    if evaluators is None:
        evaluators = load_evaluators(tuple(EVALUATORS), "evaluators")
    device = next(model.parameters()).device
    data = EvalData(shards, tokenizer, sample, limits_of(model), device, **options)
    was_training = model.training
    model.eval()
    metrics: dict[str, float] = {}
    try:
        for name, evaluator in evaluators.items():
            metrics.update(_run(name, evaluator, model, data))
    finally:
        model.train(was_training)
    return {**metrics, "images": data.images, "skipped": data.skipped}


def _run(name: str, evaluator: Evaluator, model: Network, data: EvalData) -> dict[str, float]:
    if name in EVALUATORS:
        return dict(evaluator(model, data))
    try:
        return {str(metric): float(value) for metric, value in evaluator(model, data)}
    except FinehardError:
        raise
    except Exception as error:  # a user's code can fail in any way
        raise FinehardError(f"evaluator {name}: {typed_error_line(error)}") from error


def sample_config(folder: str | os.PathLike[str]) -> SampleConfig:
    """Returns the `SampleConfig` that the model in `folder` was trained with; where the folder does
    not say, the published one, which is in lower case for SigLIP 2 and FG-CLIP 2."""
    path = Path(folder) / SAMPLE
    if not path.is_file():
        return SampleConfig(lowercase=is_siglip2(folder))
    values = json.loads(path.read_text("utf-8"))
    known = {f.name for f in dataclasses.fields(SampleConfig)}
    return SampleConfig(**{k: v for k, v in values.items() if k in known})


def table(metrics: Mapping[str, float]) -> str:
    """Returns the metrics as text; those of users' evaluators one a line."""
    rest = dict(metrics)
    lines = []
    if "long_i2t_r1" in metrics:
        lines.append(f"{'':20}{'R@1':>7}{'R@5':>7}{'R@10':>7}")
        for name in ("long", "short"):
            for way, words in (("i2t", "image to text"), ("t2i", "text to image")):
                values = "".join(f"{rest.pop(f'{name}_{way}_r{k}'):7.3f}" for k in (1, 5, 10))
                lines.append(f"{name + ', ' + words:20}{values}")
    regions, classes = rest.pop("regions", 0), rest.pop("classes", 0)
    if "region_top1" in rest:
        lines.append(
            f"region classification, {regions:.0f} regions, {classes:.0f} classes: "
            f"top-1 {rest.pop('region_top1'):.3f}, top-5 {rest.pop('region_top5'):.3f}"
        )
    hard, _ = rest.pop("hard_regions", 0), rest.pop("hard_negatives", 0)
    if "hard_top1" in rest:
        lines.append(
            f"hard negatives, {hard:.0f} regions: top-1 {rest.pop('hard_top1'):.3f} "
            f"(chance {rest.pop('hard_chance'):.3f})"
        )
    images, skipped = rest.pop("images"), rest.pop("skipped")
    lines += [f"{name}: {value:.4g}" for name, value in rest.items()]
    lines.append(f"{images:.0f} images, {skipped:.0f} skipped")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Runs `finehard evaluate model`; returns its exit code."""
    parser = Parser(
        prog="finehard evaluate model", description="Evaluates a CLIP or FG-CLIP model on shards."
    )
    parser.add_argument("--model", required=True, help="model folder")
    parser.add_argument("--data", required=True, nargs="+", help="dataset folders or URIs")
    parser.add_argument(
        "--evaluators", nargs="+", default=list(EVALUATORS), metavar="NAME",
        help=f"{', '.join(EVALUATORS)} (default: all), or module:attribute of a file in the "
        "current folder",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, help="evaluate only the first SAMPLES")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2, help="processes that read and decode")
    parser.add_argument("--output", help="also write the metrics to this JSON file")
    args = parser.parse_args(argv)
    if args.batch_size < 1 or (args.samples is not None and args.samples < 1):
        raise UsageError("--batch-size and --samples must be at least 1")
    registry.add_path(os.getcwd())
    evaluators = load_evaluators(args.evaluators, "--evaluators")
    shards = find_shards(args.data)
    model = load(args.model).to("cuda" if torch.cuda.is_available() else "cpu")
    metrics = evaluate(
        model, load_tokenizer(args.model), shards, sample_config(args.model), evaluators,
        samples=args.samples, batch_size=args.batch_size, workers=args.workers,
    )  # fmt: skip
    print(table(metrics))
    if args.output:
        storage.write(storage.local(args.output), json.dumps(metrics, indent=1).encode())
    return 0


if __name__ == "__main__":  # for torchrun
    sys.exit(exit_code(main))
