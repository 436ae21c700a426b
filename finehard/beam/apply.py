"""Lifts a plain function of a record into the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import apache_beam as beam

from finehard.config import Config
from finehard.records import Record, Reject
from finehard.worker.runtime import Build, runtime

Step = Callable[[Record], Record | Reject]


class Apply(beam.PTransform):
    """Records -> records or rejects, by the function that `make(config)` gives once a process."""

    def __init__(self, stage: str, make: Callable[[Config], Step], build: Build) -> None:
        super().__init__()
        self._do = _Apply(stage, make, build)

    def expand(self, pcoll: Any) -> Any:
        """One fused step; nothing is shuffled."""
        return pcoll | beam.ParDo(self._do)


class _Apply(beam.DoFn):
    def __init__(self, stage: str, make: Callable[[Config], Step], build: Build) -> None:
        self._stage = stage
        self._make = make
        self._build = build

    def setup(self) -> None:
        # beside the first requests: making one can take seconds of imports
        self._making: Future[Step] = _maker().submit(self._make, self._build.config)
        self._status = runtime(self._build).status

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        if isinstance(record, Reject):
            yield record
            return
        self._status.through(self._stage)
        yield self._making.result()(record)


@cache
def _maker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "finehard-make")
