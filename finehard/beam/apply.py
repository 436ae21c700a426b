"""Lifts a stage that is a function of a record into the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import apache_beam as beam

from finehard.images import ImageError
from finehard.records import Record, Reject, reject
from finehard.worker.call import call_for_result
from finehard.worker.runtime import Build, Runtime, runtime


class Apply(beam.DoFn):
    """Records -> records or rejects, by the `apply` or `look` of stage `name`. Rejects pass
    through."""

    def __init__(self, name: str, build: Build) -> None:
        self._name = name
        self._build = build

    def setup(self) -> None:
        """Prepares the stage beside the first requests: that can take seconds of imports."""
        self._runtime: Runtime = runtime(self._build)
        self._stage = self._runtime.stages[self._name]
        self._prepared: Future[None] = _preparing().submit(self._stage.prepare)

    def process(self, record: Record | Reject) -> Iterator[Record | Reject]:
        """Applies the stage to one record."""
        if isinstance(record, Reject):
            yield record
            return
        with self._runtime.ending_the_build():
            self._prepared.result()
        self._runtime.status.count_done(self._name)
        yield self._looked(record) if self._stage.looks else self._applied(record)

    def _applied(self, record: Record) -> Record | Reject:
        with self._runtime.ending_the_build():
            return call_for_result(self._stage, self._stage.apply, record)

    def _looked(self, record: Record) -> Record | Reject:
        try:
            picture = self._runtime.images.pixels(record)
        except ImageError as error:
            return reject(record, self._name, error.reason, error.detail)
        except (OSError, EOFError) as error:
            return reject(record, self._name, "unreadable_image", str(error))
        with self._runtime.ending_the_build():
            return call_for_result(self._stage, self._stage.look, record, picture)


@cache
def _preparing() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "finehard-prepare")
