"""The processes of one training run: their number, this one's rank, and collectives over rows."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_WEEK = timedelta(weeks=1)


def world_size() -> int:
    """Returns the number of processes; 1 where torch.distributed is not initialised."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Returns the number of this process on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def init() -> torch.device:
    """Joins the processes that torchrun started, if any; returns this process's device.

    nccl where there are GPUs, else gloo.
    """
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local_rank()) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if gpu else "gloo")
    return device


def shutdown() -> None:
    """Leaves the process group, if `init` joined one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def patient_group() -> dist.ProcessGroup | None:
    """Returns a group for evaluations, whose timeout is a week; None for a single process.

    Collectives of the default group time out after minutes, sooner than an evaluation may end.
    """
    if world_size() == 1:
        return None
    return dist.new_group(timeout=_WEEK, backend="gloo")  # type: ignore[return-value]


def wait_for_all(group: dist.ProcessGroup | None) -> None:
    """Waits until every process of `group` has called this."""
    if group is not None:
        dist.barrier(group)


def all_gather_objects(value: Any, group: dist.ProcessGroup | None) -> list[Any]:
    """Returns the `value` of every process of `group`, by rank; values are pickled."""
    if group is None:
        return [value]
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group)
    return values


def row_counts(rows: int, device: torch.device) -> list[int]:
    """Returns the number of rows that each process has, by rank."""
    if world_size() == 1:
        return [rows]
    counts = torch.zeros(world_size(), dtype=torch.int64, device=device)
    counts[rank()] = rows
    dist.all_reduce(counts)
    return counts.tolist()


def gather(rows: Tensor, counts: list[int]) -> Tensor:
    """Returns the (sum(counts), ...) rows of all processes, by rank; `counts` from `row_counts`.

    Gradients flow back to the process that has the row, summed over the processes.
    """
    return rows if world_size() == 1 else _Gather.apply(rows, counts)


def all_sum(values: Tensor) -> Tensor:
    """Returns the sum of `values` over the processes, without gradients."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
    return values


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0].contiguous().clone()
        dist.all_reduce(grad)
        start = sum(ctx.counts[: rank()])
        return grad[start : start + ctx.counts[rank()]], None
