"""The gradient of one step, its images and texts encoded in parts to save memory.

With several parts, features are computed twice (GradCache, arXiv 2101.06983): first without
gradients, for the losses and their gradients by the features of the whole step, then part by part
to carry these on to the parameters. So the result does not depend on the number of parts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from finehard.fgclip.batch import Batch
from finehard.fgclip.objective import Features, Objective, join, labels_of

_PART_SEED = 1_000_000_007


def backward(
    whole: nn.Module, objective: Objective, batches: Sequence[Batch], bf16: bool, seed: int
) -> dict[str, Tensor]:
    """Adds the gradient of the step with these `batches`; returns its losses (`Objective.losses`).

    `whole` is `objective`, or its DDP wrapper, which reduces gradients with the last part. `seed`
    is that of random numbers in the forward pass, equal in both passes of a part.
    """

    def encode(module: nn.Module, part: int) -> Features:
        torch.manual_seed(seed + part * _PART_SEED)
        device = batches[part].short.device.type
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            features: Features = module(batches[part])
            return features

    labels = [labels_of(b, objective.config.max_negatives) for b in batches]
    if len(batches) == 1:
        losses = objective.losses(encode(whole, 0), labels[0])
        losses["loss"].backward()
        return losses
    with torch.no_grad():
        cached = [encode(objective, part) for part in range(len(batches))]
    features, joined_labels = join(cached, labels)
    features = Features(*(f.detach().requires_grad_() for f in features))
    losses = objective.losses(features, joined_labels)
    losses["loss"].backward()
    gradients = _split(Features(*map(_gradient, features)), cached)
    for part, own in enumerate(gradients):
        with _sync_only(whole, part == len(batches) - 1):
            encoded = encode(whole, part)
            trained = [i for i, f in enumerate(encoded) if f.requires_grad]  # no frozen tower's
            torch.autograd.backward([encoded[i] for i in trained], [own[i] for i in trained])
    return losses


def _gradient(values: Tensor) -> Tensor:
    return torch.zeros_like(values) if values.grad is None else values.grad


def _split(gradients: Features, parts: Sequence[Features]) -> list[Features]:
    """Returns each part's gradients; the scalars' gradient is the first part's."""
    split = {
        name: all_rows.split([len(getattr(part, name)) for part in parts])
        for name, all_rows in gradients._asdict().items()
        if name != "scalars"
    }
    result = []
    for number, part in enumerate(parts):
        scalars = gradients.scalars if number == 0 else torch.zeros_like(gradients.scalars)
        own = Features(**{name: each[number] for name, each in split.items()}, scalars=scalars)
        result.append(
            own._replace(
                negative=own.negative[:, : part.negative.shape[1]],
                false=own.false[:, : part.false.shape[1]],
            )
        )
    return result


def _sync_only(whole: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """Reduces gradients over the processes in a step's last part only."""
    if last or not isinstance(whole, DistributedDataParallel):
        return contextlib.nullcontext()
    return whole.no_sync()
