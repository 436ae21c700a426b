"""Which samples of a step make its features or gradients not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from finehard.fgclip import distributed
from finehard.fgclip.batch import Batch
from finehard.fgclip.objective import Objective

_NAMED = 3
_FIELDS = ("image", "long", "short", "region", "region_text", "positive", "negative")
"""Of `Features`; "hard" has rows of "region"."""


def describe(objective: Objective, samples: Sequence[Batch], bf16: bool) -> str:
    """Returns in a few words which of a step's `samples` are at fault, in all processes.

    Each sample is a batch of its own, on the model's device: within a batch, texts that share a
    prefix share what is wrong too. First their features are computed, then, if all are finite, the
    gradients of these. All processes must call this.
    """

    def features(sample: Batch) -> list[tuple[str, Tensor]]:
        with torch.autocast(sample.short.device.type, torch.bfloat16, enabled=bf16):
            found = objective(sample)
        return [(name, getattr(found, name)) for name in _FIELDS]

    @torch.no_grad()
    def feature(sample: Batch) -> str | None:
        return next((name for name, rows in features(sample) if not _finite(rows)), None)

    def gradient(sample: Batch) -> str | None:
        objective.zero_grad()
        torch.stack([rows.sum() for _, rows in features(sample)]).sum().backward()
        named = objective.model.named_parameters()
        return next((n for n, p in named if p.grad is not None and not _finite(p.grad)), None)

    words = _named("features", feature, samples) or _named("gradients", gradient, samples)
    return words or "each sample alone has finite features and gradients"


def _finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())


def _named(what: str, fault: Callable[[Batch], str | None], samples: Sequence[Batch]) -> str:
    own = [(s.keys[0], s.shards[0], part) for s in samples if (part := fault(s))]
    everyones = distributed.all_gather_objects((own, len(samples)), distributed.everyone())
    found = [each for rows, _ in everyones for each in rows]
    if not found:
        return ""
    if len(found) == sum(count for _, count in everyones):
        return (
            f"the {what} of no sample are finite: the weights are at fault, not the data; try a "
            "lower optimizer.lr"
        )
    rest = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    listed = ", ".join(f"{key} of {shard} ({part})" for key, shard, part in found[:_NAMED])
    return f"the {what} of {listed}{rest} are not finite"
