"""A training run's GPU: batches are copied to it ahead, its memory and use are measured."""

from __future__ import annotations

import torch

from finehard.fgclip.batch import Batch
from finehard.fgclip.flops import matrix_rate, step_flops
from finehard.fgclip.model import Network


class Gpu:
    """A process's GPU; on a CPU, batches stay where they are and nothing is measured."""

    def __init__(self, device: torch.device, precision: str) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._rate = matrix_rate(device, precision) if self._stream else 0.0

    def take(self, batch: Batch) -> Batch:
        """Returns `batch` on the device.

        It is copied from pinned memory on a stream of its own, while earlier steps, which the host
        does not wait for, are computed.
        """
        if self._stream is None:
            return batch.to(self._device)
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            moved = batch.to(self._device)
        current.wait_stream(self._stream)
        for tensor in moved.tensors():
            if tensor.is_cuda:
                tensor.record_stream(current)
        return moved

    def flops(self, model: Network, batch: Batch) -> float:
        """Returns the FLOPs of a step with `batch` on a GPU; 0 on a CPU."""
        return step_flops(model, batch) if self._stream else 0.0

    def use(self, flops_per_s: float) -> dict[str, float]:
        """Returns for the log "mfu", the share of the rate of large matrix products measured here,
        and "gpu_gb", most memory in use since the last call; nothing on a CPU."""
        if self._stream is None:
            return {}
        most = torch.cuda.max_memory_allocated(self._device) / 1e9
        torch.cuda.reset_peak_memory_stats(self._device)
        return {"mfu": flops_per_s / self._rate, "gpu_gb": most}
