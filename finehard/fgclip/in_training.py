"""Evaluations during a training: on samples in the first process, on benchmarks by all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.distributed import ProcessGroup

from finehard import registry
from finehard.errors import UsageError
from finehard.fgclip import distributed
from finehard.fgclip.config import TrainConfig
from finehard.fgclip.evaluate import evaluate, table
from finehard.fgclip.evaluators import Evaluator
from finehard.fgclip.model import Network
from finehard.fgclip.run_logger import RunLogger
from finehard.fgclip.sampler import Shard

_BENCHMARKS = "finehard.benchmarks.training:TrainingBenchmarks"


def evaluate_samples(
    config: TrainConfig,
    evaluators: Mapping[str, Evaluator],
    model: Network,
    tokenizer: Any,
    shards: list[Shard],
    logger: RunLogger | None,
    group: ProcessGroup | None,
    step: int,
    samples: int | None,
) -> dict[str, float]:
    """Evaluates in the first process, for which the others wait; returns {} in the others, and
    where there are no `shards`."""
    metrics: dict[str, float] = {}
    if not shards:
        return metrics
    if logger:
        metrics = evaluate(
            model, tokenizer, shards, config.sample, evaluators, samples=samples,
            workers=config.run.workers, cache_gb=config.run.cache_gb,
        )  # fmt: skip
        logger.log(step, metrics, "eval")
        logger.print(f"step {step}\n{table(metrics)}")
    distributed.wait_for_all(group)
    return metrics


def load_benchmarks(names: Sequence[str], root: str | None) -> Any:
    """Returns the benchmarks that each evaluation measures, None if there are none."""
    if not names and root is None:
        return None
    if root is None:
        raise UsageError("run.evaluate: give --benchmark-data, the folder of the benchmarks")
    if not names:
        raise UsageError("--benchmark-data: run.evaluate names no benchmark")
    # By name: the room of benchmarks imports this one.
    known: dict[str, Callable[[], Any]] = {}
    return registry.load(_BENCHMARKS, known, "run.evaluate")(names, root)


def measure_benchmarks(
    benchmarks: Any,
    config: TrainConfig,
    model: Network,
    tokenizer: Any,
    device: torch.device,
    logger: RunLogger | None,
    group: ProcessGroup | None,
    step: int,
) -> dict[str, float]:
    """Measures the model on `benchmarks`, if there are any, by all processes together."""
    if benchmarks is None:
        return {}
    figures = benchmarks.measure(
        model, tokenizer, config.sample, device, config.run.precision, group
    )
    if logger:
        logger.log(step, figures, "benchmark")
        lines = [f"{name}: {value:.3f}" for name, value in figures.items()]
        logger.print("\n".join([f"step {step}", *lines]))
    return figures
