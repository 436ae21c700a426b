"""The steps of a pass over a finished dataset as Beam pipelines, on any runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from finehard.beam.finish import FinishDataset
from finehard.beam.run import run
from finehard.curate.rewritten import pointers
from finehard.curate.work import Work
from finehard.dataset.complete import Origin
from finehard.dataset.layout import ShardsConfig
from finehard.dataset.pointers import pointer_of
from finehard.dataset.summary import ShardSummary
from finehard.dataset.writer import write_shard
from finehard.images import ANY_SIDE


def run_each(
    name: str, function: Callable[[Any], None], items: Sequence[Any], options: PipelineOptions
) -> None:
    """Calls `function`, which leaves files, on each of `items`, spread over the workers."""

    def construct(pipeline: beam.Pipeline) -> Any:
        return pipeline | "items" >> beam.Create(items, reshuffle=True) | name >> beam.Map(function)

    run(construct, options)


def run_rewrite(work: Work, origin: Origin, read: int, options: PipelineOptions) -> None:
    """Writes the new dataset; what is left out was saved. Locations of samples are shuffled, not
    samples."""

    def construct(pipeline: beam.Pipeline) -> Any:
        every = [(index, None) for index in range(work.new_shards)]
        located = (
            pipeline
            | "shards" >> beam.Create(range(work.shards), reshuffle=True)
            | "items" >> beam.FlatMap(_pointers, work)
        )
        return (
            (located, pipeline | "every shard" >> beam.Create(every))
            | "collect" >> beam.Flatten()
            | "by shard" >> beam.GroupByKey()
            | "write" >> beam.Map(_write, work)
            | "finish" >> FinishDataset(work.output, work.run, work.new_shards, origin, read)
        )

    run(construct, options)


def _pointers(shard: int, work: Work) -> Iterator[tuple[int, bytes]]:
    return ((new, pointer.packed()) for new, pointer in pointers(work, shard))


def _write(shard: tuple[int, Iterable[bytes | None]], work: Work) -> ShardSummary:
    index, located = shard
    return write_shard(
        work.output, work.run, index, work.new_shards,
        [pointer_of(packed) for packed in located if packed is not None], ShardsConfig(), ANY_SIDE,
    )  # fmt: skip
