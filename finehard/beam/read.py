"""Reads sources in the pipeline: files -> units of work -> records, and counts every input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from finehard.beam.gpu import on_gpu
from finehard.dataset.layout import shard_of, side_files
from finehard.dataset.pointers import Pointer, SampleChangedError, finished_at
from finehard.dataset.removals import DETAIL, below
from finehard.images import ImageError, stored
from finehard.io import storage
from finehard.negatives.balance import Drawn, Sampler
from finehard.records import Bytes, Record, Reject, reject
from finehard.rejects import REMOVED
from finehard.sources import NOWHERE, Loaded, SourceFile, Unit, read, units
from finehard.sources.identity import unit_identity
from finehard.state import checkpoints, current_run
from finehard.state.checkpoints import Checkpoint, Row
from finehard.worker.runtime import Attempt, Build, Runtime, runtime

READ = "read"
THROUGH = "through"
DRAWN = "drawn"


class Counted(NamedTuple):
    """What of the input goes past the stages: collections of the number of inputs in each unit, of
    (shard, packed pointer) of all that an earlier run brought through, and of regions of that which
    were drawn for the balance."""

    read: Any
    through: Any
    drawn: Any


class ReadSources(beam.PTransform):
    """Source files -> (records and rejects, what goes past the stages).

    Units are distributed to the workers; that shuffle carries locations only, no samples.
    """

    def __init__(self, files: list[SourceFile], build: Build) -> None:
        super().__init__()
        self._files = files
        self._build = build

    def expand(self, pipeline: Any) -> Any:
        """Returns the records to bring through the stages, and `Counted`."""
        if self._build.joined:  # one bundle that claims a unit when there is room in the windows
            units_to_read = (
                pipeline
                | "files" >> beam.Create([self._files])
                | "claim" >> beam.FlatMap(_claimed, self._build)
            )
        else:
            units_to_read = (
                pipeline
                | "files" >> beam.Create(self._files, reshuffle=True)
                | "units" >> beam.FlatMap(_units, self._build)
                | "spread" >> beam.Reshuffle()
            )
        read = units_to_read | "read" >> on_gpu(
            beam.ParDo(_Read(self._build)), self._build
        ).with_outputs(READ, THROUGH, DRAWN, main="records")
        return read["records"], Counted(read[READ], read[THROUGH], read[DRAWN])


def _units(file: SourceFile, build: Build) -> Iterator[Unit]:
    return units(file, build.config.source)


def _claimed(files: list[SourceFile], build: Build) -> Iterator[Unit]:
    shares = runtime(build).shares
    assert shares is not None
    return shares.take(files)


def _unit_of(item: Loaded | Reject) -> str:
    """Returns the unit of the journal that `item` belongs to: a unit of work can hold several."""
    return item.unit if isinstance(item, Reject) else item.record.unit


class _Read(beam.DoFn):
    def __init__(self, build: Build) -> None:
        self._build = build

    def setup(self) -> None:
        self._runtime: Runtime = runtime(self._build)
        self._sampler = Sampler()

    def process(self, unit: Unit) -> Iterator[Record | Reject | TaggedOutput]:
        """Yields what an earlier run brought through, and the records of all else."""
        if self._build.joined is None:
            with self._runtime.ending_the_build():
                current_run.check_current(self._build.output, self._build.run)
        attempt = self._attempt(unit)
        shares, claimed = self._runtime.shares, unit
        if shares is not None:
            shares.begin(claimed)
        total = 0
        if attempt is not None and attempt.before is not None:
            yield from self._through(attempt.before)
            total = len(attempt.before.settled())
            sources = attempt.before.sources_to_try()
            unit = unit._replace(file=unit.file._replace(only=sources))
        if unit.file.only != frozenset():
            for name, items in groupby(read(unit, self._build.config.source), _unit_of):
                if shares is not None:
                    shares.begin_part(name, claimed)
                self._runtime.begin_unit(name, attempt if name == unit.id else None)
                count = 0
                for item in self._located(name, map(self._accepted, items)):
                    count += 1
                    self._runtime.count_in(name)
                    if isinstance(item, Loaded):
                        self._runtime.images.put(item.record, item.data)
                    yield item if isinstance(item, Reject) else item.record
                self._runtime.end_unit(name, count)
                total += count
        if shares is not None:
            shares.end(claimed)
        yield TaggedOutput(READ, total)

    def _attempt(self, unit: Unit) -> Attempt | None:
        """Returns None for a unit of which no checkpoint can be saved."""
        build = self._build
        identity = build.checkpoints and unit_identity(unit, self._runtime.file_state)
        if not identity:
            return None
        folder = checkpoints.folder_of(build.output, build.checkpoints, unit.id)
        return Attempt(identity, checkpoints.load(folder, unit.id, identity))

    def _through(self, before: Checkpoint) -> Iterator[TaggedOutput]:
        settled = before.settled()
        if self._build.config.negatives.balance:
            drawn = [one for row in settled for one in self._drawn(row)]
            if drawn:
                yield TaggedOutput(DRAWN, drawn)
        for row in settled:
            pointer = Pointer(row.key, row.source, row.where)
            yield TaggedOutput(THROUGH, (shard_of(row.key, self._build.shards), pointer.packed()))
        rejects = sum(row.rejected for row in settled)
        stages = self._runtime.stages
        self._runtime.status.count_through(stages, len(settled) - rejects, rejects)

    def _drawn(self, row: Row) -> list[Drawn]:
        """Returns the regions of a finished sample that may be in the balance's sample: which they
        are depends on the other samples, so it is in no checkpoint."""
        if row.rejected:
            return []
        try:
            sample = finished_at(row.where).item["sample"]
        except SampleChangedError as error:
            checkpoints.forget(error.side_file)
            raise
        return self._sampler.draw(sample)

    def _accepted(self, item: Loaded | Reject) -> Loaded | Reject:
        """Returns the sample with what a shard will hold of its image, or a reject."""
        if isinstance(item, Reject):
            return item
        record = item.record
        try:
            data, info, has_more = stored(item.data, self._build.config.images)
        except ImageError as error:
            return reject(record, "source", error.reason, error.detail)
        if data is not item.data:
            record = replace(record, image=NOWHERE)
        if has_more:
            record = record.dropping("source", {"more_frames": [record.source]})
        sha256 = hashlib.sha256(data).hexdigest()
        source = below(record.source, self._build.input)
        if self._runtime.removals.match(url=record.url, sha256=sha256, source=source):
            return reject(record, "source", REMOVED, DETAIL)
        kind, width, height = info
        record = replace(record, sha256=sha256, format=kind, width=width, height=height)
        return Loaded(record, data)

    def _located(self, unit: str, items: Iterator[Loaded | Reject]) -> Iterator[Loaded | Reject]:
        """Yields the unit's items, all of whose images can be read again by themselves."""
        for item in items:
            if isinstance(item, Loaded) and item.record.image == NOWHERE:
                self._runtime.attempts.pop(unit, None)  # its images last as long as the run
                yield from self._copied(unit, chain([item], items))
                return
            yield item

    def _copied(self, unit: str, items: Iterable[Loaded | Reject]) -> Iterator[Loaded | Reject]:
        """Yields `items`, with images that are nowhere else copied to a file of this unit.

        Locally they are read back from there, so that memory holds one image and not the unit's;
        from an object store that would be a round trip each, so there they stay in memory.
        """
        spill = storage.join(
            side_files(self._build.output, self._build.run, "_images"), f"{unit}.bin"
        )
        remote = storage.is_remote(spill)
        copied: list[Loaded | Reject] = []
        with storage.writing(spill, durable=False) as file:
            offset = file.write(b"\n")  # some object stores cannot hold an empty file
            for item in items:
                if isinstance(item, Loaded):
                    if item.record.image == NOWHERE:
                        where = Bytes(spill, offset, len(item.data))
                        file.write(item.data)
                        offset += len(item.data)
                        item = Loaded(replace(item.record, image=where), item.data)
                    item = item if remote else Loaded(item.record, b"")
                copied.append(item)
        for item in copied:
            if isinstance(item, Loaded) and not remote:
                item = Loaded(item.record, storage.read(item.record.image))
            yield item
