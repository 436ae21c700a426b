"""Which samples of a step make its features or gradients not finite."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from finehard.fgclip import distributed
from finehard.fgclip.batch import Batch
from finehard.fgclip.objective import Features, Objective, join, labels_of

_NAMED = 3


def describe(objective: Objective, batches: Sequence[Batch], bf16: bool) -> str:
    """Returns in a few words which samples of a step's `batches` are at fault, in all processes.

    The step is computed again, its features first, then their gradients. All processes must call
    this.
    """
    device = batches[0].short.device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
        parts = [objective(batch) for batch in batches]
    labels = [labels_of(batch, objective.config.max_negatives) for batch in batches]
    features, joined = join(parts, labels)
    leaves = Features(*(f.detach().requires_grad_() for f in features))
    objective.losses(leaves, joined)["loss"].backward()
    gradients = Features(*(torch.zeros_like(f) if f.grad is None else f.grad for f in leaves))
    owners = _owners(batches)
    samples = [(k, s) for b in batches for k, s in zip(b.keys, b.shards, strict=True)]
    words = ("features", "gradients")
    for word, values in zip(words, (features, gradients), strict=True):
        own = [(*samples[i], part) for i, part in _not_finite(values, owners)]
        found = distributed.all_gather_objects((own, len(samples)), distributed.everyone())
        named = [row for rows, _ in found for row in rows]
        if len(named) == sum(count for _, count in found):
            return (
                f"the {word} of no sample are finite: the weights are at fault, not the data; try "
                "a lower optimizer.lr"
            )
        if named:
            rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            listed = [f"{key} of {shard} ({part})" for key, shard, part in named[:_NAMED]]
            return f"the {word} of {', '.join(listed)}{rest} are not finite"
    return "all features and their gradients are finite, those of some weight are not"


def _owners(batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Returns, for each field of `Features` that has rows, the sample of each row."""
    found: dict[str, list[Tensor]] = {}
    start = 0
    for batch in batches:
        every = torch.arange(len(batch.short), device=batch.short.device)
        region = batch.images[: len(batch.regions)]
        hard = batch.images[batch.hard_boxes]
        for name, owner in (
            ("image", every), ("long", every), ("short", every), ("region", region),
            ("region_text", region), ("hard", hard), ("positive", hard), ("negative", hard),
        ):  # fmt: skip
            found.setdefault(name, []).append(owner + start)
        start += len(every)
    return {name: torch.cat(parts) for name, parts in found.items()}


def _not_finite(values: Features, owners: dict[str, Tensor]) -> list[tuple[int, str]]:
    """Returns the number of each sample with rows that are not finite, and the first such field."""
    found: dict[int, str] = {}
    for name, owner in owners.items():
        rows = getattr(values, name)
        bad = ~rows.isfinite().flatten(1).all(1)
        for sample in owner[bad].tolist():
            found.setdefault(sample, name)
    return sorted(found.items())
