"""The processes of one training run: how many, which is this one, and rows gathered from all."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """The number of processes; 1 where torch.distributed is not set up."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def join() -> torch.device:
    """Joins the processes that torchrun started, if any; returns the device of this one.

    nccl where there are GPUs, else gloo.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if gpu else "gloo")
    return device


def leave() -> None:
    """Ends what `join` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


def counts(rows: int, device: torch.device) -> list[int]:
    """The number of rows that each process has, in their order."""
    if world() == 1:
        return [rows]
    all_counts = torch.zeros(world(), dtype=torch.int64, device=device)
    all_counts[rank()] = rows
    dist.all_reduce(all_counts)
    return all_counts.tolist()


def gather(rows: Tensor, each: list[int]) -> Tensor:
    """(sum(each), ...) rows of all processes, in their order; `each` as `counts` gives it.

    Gradients come back to where the rows came from, summed over the processes.
    """
    return rows if world() == 1 else _Gather.apply(rows, each)


def total(values: Tensor) -> Tensor:
    """The sum of `values` over the processes, without gradients."""
    values = values.detach().clone()
    if world() > 1:
        dist.all_reduce(values)
    return values


def any_true(value: bool, device: torch.device) -> bool:
    """Whether `value` is true in any process."""
    return bool(total(torch.tensor(float(value), device=device)))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, each: list[int]) -> Tensor:
        ctx.each = each
        padded = rows.new_zeros((max(each), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in each]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, each, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].contiguous().clone()
        dist.all_reduce(grad)
        start = sum(ctx.each[: rank()])
        return grad[start : start + ctx.each[rank()]], None
