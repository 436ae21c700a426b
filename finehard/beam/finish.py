"""Completes a dataset in parts: workers merge the tables of a part each, the last step sees only
what is left of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam

from finehard.dataset.complete import Origin, finish
from finehard.dataset.merge import Check, PartSummary, at_will, merge_part
from finehard.dataset.parts import SHARDS_PER_PART, part_count, part_of
from finehard.dataset.summary import ShardSummary


class FinishDataset(beam.PTransform):
    """From the `ShardSummary`s of all `shards` shards that `run` wrote to `output`: the tables, in
    parts of at most `most` shards, and what describes the dataset.

    `read` is the number of inputs, or a side input.
    """

    def __init__(
        self,
        output: str,
        run: str,
        shards: int,
        origin: Origin,
        read: Any,
        check: Check = at_will,
        most: int = SHARDS_PER_PART,
    ) -> None:
        super().__init__()
        self._output, self._run, self._shards = output, run, shards
        self._origin, self._read, self._check = origin, read, check
        self._parts = part_count(shards, most)

    def expand(self, summaries: Any) -> Any:
        return (
            summaries
            | "of part" >> beam.Map(_with_part, self._shards, self._parts)
            | "by part" >> beam.GroupByKey()
            | "merge" >> beam.Map(_merge, self._output, self._run, self._parts, self._check)
            | "one" >> beam.GroupBy(lambda _: None)
            | "complete" >> beam.Map(_finish, self._output, self._origin, self._check, self._read)
        )


def _with_part(summary: ShardSummary, shards: int, parts: int) -> tuple[int, ShardSummary]:
    return part_of(summary.index, shards, parts), summary


def _merge(
    group: tuple[int, Iterable[ShardSummary]],
    output: str,
    run: str,
    parts: int,
    check: Check,
) -> PartSummary:
    check()
    return merge_part(output, run, group[0], parts, group[1], check)


def _finish(
    group: tuple[None, Iterable[PartSummary]],
    output: str,
    origin: Origin,
    check: Check,
    read: int,
) -> None:
    finish(output, origin, group[1], read, check)
