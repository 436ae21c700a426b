"""The end of the pipeline: writes finished samples to shards, and completes the dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from finehard.beam.finish import FinishDataset
from finehard.beam.gpu import on_gpu
from finehard.beam.read import Counted
from finehard.config import as_dict
from finehard.dataset.complete import Origin
from finehard.dataset.layout import shard_of, side_files
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer, SampleChangedError, pointer_of
from finehard.dataset.summary import ShardSummary
from finehard.dataset.writer import write_shard
from finehard.io import storage
from finehard.negatives import NegativesConfig
from finehard.negatives.balance import Balance, Drawn, Sampler, balanced, merged
from finehard.records import Bytes, Record, Reject, sample_json
from finehard.rejects import MAY_PASS
from finehard.stages.provenance import provenance
from finehard.state import checkpoints, current_run
from finehard.state.checkpoints import Checkpoint, Row
from finehard.worker.runtime import Attempt, Build, runtime

_SPILL_BYTES = 4 << 20
_OPEN_BYTES = 64 << 20
"""Bytes of packed records of units that are not through; beyond it, the largest unit gets no
checkpoint."""
_DRAWN = "drawn"


class WriteShards(beam.PTransform):
    """Writes records and rejects as a dataset. Locations of samples are shuffled, not samples.

    `counted` is what `ReadSources` returns beside the records; the dataset is completed only if as
    many inputs as were read were written or rejected in total.
    """

    def __init__(self, build: Build, counted: Counted) -> None:
        super().__init__()
        self._build = build
        self._made_by = provenance(build.stages(), build.config, build.bundled)
        self._counted = counted

    def expand(self, finished: Any) -> Any:
        """Shuffles once, by shard. Every shard is written, even if it has no samples. Of a process
        that joined others, checkpoints are all that is written.

        A few regions of all samples are drawn on the side, for the balance.
        """
        build = self._build
        spill = on_gpu(beam.ParDo(_Spill(build, self._made_by.stages)), build)
        pointers, drawn = finished | "spill" >> spill.with_outputs(_DRAWN, main="pointers")
        if build.joined:
            return pointers
        balance = (
            (drawn, self._counted.drawn)
            | "drawn" >> beam.Flatten()
            | "draw" >> beam.CombineGlobally(merged)
            | "balance" >> beam.Map(_balance, build.config.negatives)
        )
        all_shards = finished.pipeline | "every shard" >> beam.Create(
            [(index, None) for index in range(build.shards)]
        )
        read = self._counted.read | "read" >> beam.CombineGlobally(sum)
        return (
            (pointers, self._counted.through, all_shards)
            | "collect" >> beam.Flatten()
            | "by shard" >> beam.GroupByKey()
            | "write" >> beam.ParDo(_Write(build), beam.pvalue.AsSingleton(balance))
            | "finish"
            >> FinishDataset(
                build.output,
                build.run,
                build.shards,
                Origin(build.input, as_dict(build.config), self._made_by, build.unread),
                beam.pvalue.AsSingleton(read),
                partial(current_run.check_current, build.output, build.run),
            )
            | "completed" >> beam.Map(_completed, build)
        )


class _Buffer:
    """Finished items that are not yet written: with their bytes, and the regions
    drawn of them for the balance."""

    def __init__(self) -> None:
        self.items: list[tuple[Record | Reject, bytes]] = []
        self.bytes = 0
        self.drawn: list[Drawn] = []

    def add(self, item: Record | Reject, packed: bytes) -> None:
        """Adds an item."""
        self.items.append((item, packed))
        self.bytes += len(packed)

    def write(self, uri: str, durable: bool) -> Iterator[tuple[Record | Reject, Bytes]]:
        """Writes a file of all items, and yields each with its location."""
        with storage.writing(uri, durable) as file:
            file.writelines(packed for _, packed in self.items)
        offset = 0
        for item, packed in self.items:
            yield item, Bytes(uri, offset, len(packed))
            offset += len(packed)


class _Spill(beam.DoFn):
    """Writes finished items to side files and emits their locations: those of a unit together,
    when it is through, so that they are its checkpoint; others in the order in which they come."""

    def __init__(self, build: Build, provenance: dict[str, Any]) -> None:
        self._build = build
        self._provenance = provenance

    def setup(self) -> None:
        self._runtime = runtime(self._build)
        self._sampler = Sampler()

    def start_bundle(self) -> None:
        self._others = _Buffer()
        self._units: dict[str, _Buffer] = {}

    def process(self, item: Record | Reject) -> Iterator[Any]:
        unit = item.unit
        buffer = self._others
        if unit in self._runtime.attempts:
            buffer = self._units.setdefault(unit, _Buffer())
        payload = self._payload(item)
        if self._build.config.negatives.balance and "sample" in payload:
            buffer.drawn += self._sampler.draw(payload["sample"])
        buffer.add(item, pack(payload))
        self._runtime.count_out(unit, item.source, isinstance(item, Reject))
        if self._others.bytes >= _SPILL_BYTES:
            yield from self._flush_others()
        yield from self._flush_through()
        if sum(one.bytes for one in self._units.values()) > _OPEN_BYTES:
            largest = max(self._units, key=lambda name: self._units[name].bytes)
            self._runtime.attempts.pop(largest, None)
            yield from self._spilled(self._units.pop(largest))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for item in self._flush_all():
            tag = item.tag if isinstance(item, beam.pvalue.TaggedOutput) else None
            value = item.value if tag else item
            windowed = WindowedValue(value, MIN_TIMESTAMP, (GlobalWindow(),))
            yield beam.pvalue.TaggedOutput(tag, windowed) if tag else windowed
        self._runtime.status.write()

    def _flush_all(self) -> Iterator[Any]:
        yield from self._flush_through()
        for buffer in self._units.values():  # whose other items another worker has
            yield from self._spilled(buffer)
        self._units = {}
        yield from self._flush_others()

    def _flush_others(self) -> Iterator[Any]:
        buffer, self._others = self._others, _Buffer()
        yield from self._spilled(buffer)

    def _spilled(self, buffer: _Buffer) -> Iterator[Any]:
        """Writes `buffer` to a side file that lasts as long as the run; not where another run is to
        write the shards."""
        if buffer.items and not self._build.joined:
            folder = side_files(self._build.output, self._build.run, "_records")
            uri = storage.join(folder, f"{os.urandom(8).hex()}.bin")
            for item, where in buffer.write(uri, durable=False):
                yield self._pointer(item, where)
            yield from self._drawn(buffer)

    def _flush_through(self) -> Iterator[Any]:
        """Writes the units of which every item is here."""
        for unit, buffer in list(self._units.items()):
            attempt = self._runtime.attempts.get(unit)
            if attempt is not None and attempt.items == len(buffer.items):
                del self._units[unit]
                self._runtime.attempts.pop(unit, None)
                yield from self._saved(unit, attempt, buffer)

    def _saved(self, unit: str, attempt: Attempt, buffer: _Buffer) -> Iterator[Any]:
        """Writes `buffer`, and saves the checkpoint of `unit` once its journal is merged."""
        folder = checkpoints.folder_of(self._build.output, self._build.checkpoints, unit)
        written = list(buffer.write(checkpoints.new_records(folder, unit), durable=True))
        rows = tuple(_row(item, where) for item, where in written)
        if attempt.before is not None:
            rows = attempt.before.settled() + rows
        made = Checkpoint(attempt.identity, rows)
        self._runtime.journal.finish(unit, partial(checkpoints.save, folder, unit, made))
        for item, where in written:
            yield self._pointer(item, where)
        yield from self._drawn(buffer)

    def _pointer(self, item: Record | Reject, where: Bytes) -> tuple[int, bytes]:
        pointer = Pointer(item.key, item.source, where)
        return shard_of(item.key, self._build.shards), pointer.packed()

    def _drawn(self, buffer: _Buffer) -> Iterator[Any]:
        if buffer.drawn:
            yield beam.pvalue.TaggedOutput(_DRAWN, buffer.drawn)

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


def _row(item: Record | Reject, where: Bytes) -> Row:
    rejected = isinstance(item, Reject)
    may_pass = isinstance(item, Reject) and item.reason in MAY_PASS
    return Row(item.key, item.source, where, rejected, may_pass)


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
        self, shard: tuple[int, Iterable[bytes | None]], balance: Balance | None
    ) -> Iterator[ShardSummary]:
        index, pointers = shard
        build = self._build
        check = partial(current_run.check_current, build.output, build.run)
        check()
        try:
            yield write_shard(
                build.output,
                build.run,
                index,
                build.shards,
                [pointer_of(packed) for packed in pointers if packed is not None],
                build.config.shards,
                build.config.images,
                balance,
                runtime(build).removals,
                build.input,
                check,
            )
        except SampleChangedError as error:
            checkpoints.forget(error.side_file)
            raise


def _completed(_: None, build: Build) -> None:
    current_run.completed(build.output, build.run)
