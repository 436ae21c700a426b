"""The processes of one training run: their number, this one's rank, and collectives over rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
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

    nccl for tensors on GPUs, gloo for the others: numbers that only the host knows travel without
    waiting for the GPU.
    """
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local_rank()) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
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


def everyone() -> dist.ProcessGroup | None:
    """Returns the group of all processes; None for a single process."""
    return dist.group.WORLD if world_size() > 1 else None


def all_gather_objects(value: Any, group: dist.ProcessGroup | None) -> list[Any]:
    """Returns the `value` of every process of `group`, by rank; values are pickled."""
    if group is None:
        return [value]
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group)
    return values


@dataclass(frozen=True)
class Rows:
    """Rows that lie spread over processes: `counts` by rank, and which rank's are this process's.

    For rows that stay in their process there is one count, and `rank` is 0.
    """

    counts: tuple[int, ...]
    rank: int = 0

    @property
    def total(self) -> int:
        """Returns the number of rows of all processes."""
        return sum(self.counts)

    @property
    def start(self) -> int:
        """Returns the number of rows before this process's."""
        return sum(self.counts[: self.rank])

    @property
    def share(self) -> float:
        """Returns the factor that makes of a sum over own rows a loss whose mean over the processes
        is the mean over all rows; 0 rows count as one."""
        return len(self.counts) / max(1, self.total)

    def gather(self, own: Tensor) -> Tensor:
        """Returns the (total, ...) rows of all processes, by rank.

        Gradients flow back to the process that has the row, summed over the processes.
        """
        return own if len(self.counts) == 1 else _Gather.apply(own, self)


def rows_of(sizes: Sequence[int]) -> tuple[Rows, ...]:
    """Returns `Rows` for each of `sizes`, numbers of rows that this process has.

    They travel as tensors of the CPU, so that no process waits for a GPU.
    """
    if world_size() == 1:
        return tuple(Rows((n,)) for n in sizes)
    table = torch.zeros((len(sizes), world_size()), dtype=torch.int64)
    table[:, rank()] = torch.tensor(sizes)
    dist.all_reduce(table)
    return tuple(Rows(tuple(counts), rank()) for counts in table.tolist())


def all_sum(values: Tensor) -> Tensor:
    """Returns the sum of `values` over the processes, without gradients."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
    return values


class _Gather(torch.autograd.Function):
    """Each process's rows travel padded to the longest, so that one collective moves them all."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: Rows) -> Tensor:
        ctx.rows = rows
        most = max(rows.counts)
        padded = own.new_zeros((most, *own.shape[1:]))
        padded[: len(own)] = own
        everything = own.new_empty((most * len(rows.counts), *own.shape[1:]))
        dist.all_gather_into_tensor(everything, padded)
        if most == min(rows.counts):
            return everything
        parts = everything.split(most)
        return torch.cat([part[:n] for part, n in zip(parts, rows.counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        rows: Rows = ctx.rows
        grad, most = grads[0].contiguous(), max(rows.counts)
        if most != min(rows.counts):
            padded = grad.new_zeros((len(rows.counts), most, *grad.shape[1:]))
            for place, part in zip(padded, grad.split(rows.counts), strict=True):
                place[: len(part)] = part
            grad = padded.flatten(0, 1)
        own = grad.new_empty((most, *grad.shape[1:]))
        dist.reduce_scatter_tensor(own, grad)
        return own[: rows.counts[rows.rank]], None
