"""The end of the pipeline: writes finished samples to shards, and completes the dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.config import as_dict
from finehard.dataset.complete import Origin, complete
from finehard.dataset.layout import shard_of, side_files
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.dataset.summary import ShardSummary
from finehard.dataset.writer import write_shard
from finehard.io import storage
from finehard.negatives import NegativesConfig
from finehard.negatives.balance import Balance, Drawn, Sampler, balanced, merged
from finehard.records import Bytes, Record, Reject, sample_json
from finehard.stages.provenance import Provenance, provenance
from finehard.worker.runtime import Build, runtime

_SPILL_BYTES = 4 << 20
_DRAWN = "drawn"


class WriteShards(beam.PTransform):
    """Writes records and rejects as a dataset. Locations of samples are shuffled, not samples.

    `counted` is a collection of numbers of inputs read; the dataset is completed only if as many
    were written or rejected in total.
    """

    def __init__(self, build: Build, counted: Any) -> None:
        super().__init__()
        self._build = build
        self._made_by = provenance(build.stages(), build.config, build.bundled)
        self._counted = counted

    def expand(self, finished: Any) -> Any:
        """Shuffles once, by shard. Every shard is written, even if it has no samples.

        A few regions of all samples are drawn on the side, for the balance.
        """
        build = self._build
        spill = beam.ParDo(_Spill(build, self._made_by.stages))
        pointers, drawn = finished | "spill" >> spill.with_outputs(_DRAWN, main="pointers")
        balance = (
            drawn
            | "draw" >> beam.CombineGlobally(merged)
            | "balance" >> beam.Map(_balance, build.config.negatives)
        )
        all_shards = finished.pipeline | "every shard" >> beam.Create(
            [(index, None) for index in range(build.shards)]
        )
        read = self._counted | "read" >> beam.CombineGlobally(sum)
        return (
            (pointers, all_shards)
            | "collect" >> beam.Flatten()
            | "by shard" >> beam.GroupByKey()
            | "write" >> beam.ParDo(_Write(build), beam.pvalue.AsSingleton(balance))
            | "one" >> beam.GroupBy(lambda _: None)
            | "complete" >> beam.Map(_complete, build, self._made_by, beam.pvalue.AsSingleton(read))
        )


class _Spill(beam.DoFn):
    """Writes finished items to side files and emits their locations."""

    def __init__(self, build: Build, provenance: dict[str, Any]) -> None:
        self._build = build
        self._provenance = provenance

    def setup(self) -> None:
        self._runtime = runtime(self._build)
        self._sampler = Sampler()

    def start_bundle(self) -> None:
        self._begin()

    def _begin(self) -> None:
        name = os.urandom(8).hex()
        self._uri = storage.join(
            side_files(self._build.output, self._build.run, "_records"), f"{name}.bin"
        )
        self._items: list[tuple[Record | Reject, bytes]] = []
        self._bytes = 0
        self._drawn: list[Drawn] = []

    def process(self, item: Record | Reject) -> Iterator[Any]:
        payload = self._payload(item)
        if self._build.config.negatives.balance and "sample" in payload:
            self._drawn += self._sampler.draw(payload["sample"])
        packed = pack(payload)
        self._items.append((item, packed))
        self._bytes += len(packed)
        self._runtime.count_out(item.unit, item.source, isinstance(item, Reject))
        if self._bytes >= _SPILL_BYTES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for item in self._flush():
            tag = item.tag if isinstance(item, beam.pvalue.TaggedOutput) else None
            value = item.value if tag else item
            windowed = WindowedValue(value, MIN_TIMESTAMP, (GlobalWindow(),))
            yield beam.pvalue.TaggedOutput(tag, windowed) if tag else windowed
        self._runtime.status.write()

    def _flush(self) -> Iterator[Any]:
        if not self._items:
            return
        with storage.writing(self._uri, durable=False) as file:
            file.writelines(packed for _, packed in self._items)
        offset = 0
        for item, packed in self._items:
            where = Bytes(self._uri, offset, len(packed))
            offset += len(packed)
            yield shard_of(item.key, self._build.shards), Pointer(item.key, item.source, where)
        if self._drawn:
            yield beam.pvalue.TaggedOutput(_DRAWN, self._drawn)
        self._begin()

    def _payload(self, item: Record | Reject) -> dict[str, Any]:
        usage = {stage: list(spent) for stage, spent in item.usage.items()}
        if isinstance(item, Reject):
            row = {name: getattr(item, name) for name in ("source", "stage", "reason", "detail")}
            return {"reject": _storable(row), "usage": usage, "dropped": {}}
        return {
            "sample": sample_json(item, self._provenance),
            "image": list(item.image),
            "usage": usage,
            "dropped": {rule: list(dropped) for rule, dropped in item.dropped.items()},
        }


def _storable(row: dict[str, str]) -> dict[str, str]:
    return {name: text.encode("utf-8", "replace").decode() for name, text in row.items()}


def _balance(drawn: list[Drawn], negatives: NegativesConfig) -> Balance | None:
    """Returns the balance, fitted once for all shards; None where there is to be none."""
    if not negatives.balance:
        return None
    return balanced(drawn, negatives.per_region, negatives.balance_loss)


class _Write(beam.DoFn):
    """Writes shards."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def process(
        self, shard: tuple[int, Iterable[Pointer | None]], balance: Balance | None
    ) -> Iterator[ShardSummary]:
        index, pointers = shard
        build = self._build
        yield write_shard(
            build.output,
            build.run,
            index,
            build.shards,
            [pointer for pointer in pointers if pointer is not None],
            build.config.shards,
            build.config.images,
            balance,
        )


def _complete(
    group: tuple[None, Iterable[ShardSummary]],
    build: Build,
    made_by: Provenance,
    read: int,
) -> None:
    summaries = sorted(group[1], key=lambda summary: summary.index)
    origin = Origin(build.input, as_dict(build.config), made_by, build.unread)
    complete(build.output, build.run, origin, summaries, read)
