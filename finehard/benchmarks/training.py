"""Benchmarks during training; the trainer finds `TrainingBenchmarks` by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.distributed import ProcessGroup

from finehard.benchmarks.chosen import choose, folder_of
from finehard.benchmarks.folder import Absent
from finehard.benchmarks.model import Precision
from finehard.benchmarks.models.forward import Place
from finehard.benchmarks.models.trained import of_network
from finehard.benchmarks.shared import SharedEncoder
from finehard.errors import FinehardError
from finehard.fgclip.model import Network
from finehard.fgclip.targets import SampleConfig
from finehard.io import storage


class TrainingBenchmarks:
    """The benchmarks `names` below the folder `root`, read once.

    Raises `FinehardError` where there is no such benchmark, or its files are not there. Of "all"
    and of a family those are measured that are there.
    """

    def __init__(self, names: Sequence[str], root: str) -> None:
        root = storage.local(root)
        self._read = []
        for benchmark, required in choose(names, root, "run.evaluate"):
            try:
                data = benchmark.read(folder_of(benchmark, root))
            except Absent:
                if required:
                    raise
                continue
            if not data.items:
                raise FinehardError(f"{benchmark.name}: its files name no image")
            self._read.append((benchmark, data))
        if not self._read:
            raise FinehardError(f"none of the benchmarks is below {root}")

    def measure(
        self,
        model: Network,
        tokenizer: Any,
        sample: SampleConfig,
        device: torch.device,
        precision: Precision,
        group: ProcessGroup | None,
    ) -> dict[str, float]:
        """Returns the figures, "BENCHMARK/FIGURE"; images and texts are made as `sample` says.

        Every process of `group` must call this."""
        training = model.training
        model.eval()
        figures: dict[str, float] = {}
        try:
            where = Place(device, precision)
            measured = of_network(model, tokenizer, where, "in training", sample)
            for benchmark, data in self._read:
                encoder = SharedEncoder(measured, group)
                found = benchmark.measure(data, encoder)
                figures |= {f"{benchmark.name}/{one.name}": one.value for one in found}
                if encoder.missing:
                    figures[f"{benchmark.name}/missing"] = float(len(encoder.missing))
        finally:
            model.train(training)
        return figures
