"""Reads sources in the pipeline: files -> units of work -> records, and counts every input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from finehard.dataset.layout import side_files
from finehard.images import ImageError, stored
from finehard.io import storage
from finehard.records import Bytes, Record, Reject, reject
from finehard.sources import NOWHERE, Loaded, SourceFile, Unit, read, units
from finehard.worker.runtime import Build, Runtime, runtime

READ = "read"


class ReadSources(beam.PTransform):
    """Source files -> (records and rejects, number of inputs read).

    Units are distributed to the workers; that shuffle carries locations only, no samples.
    """

    def __init__(self, files: list[SourceFile], build: Build) -> None:
        super().__init__()
        self._files = files
        self._build = build

    def expand(self, pipeline: Any) -> Any:
        """Returns the records, and a collection of the number of inputs in each unit."""
        read = (
            pipeline
            | "files" >> beam.Create(self._files, reshuffle=True)
            | "units" >> beam.FlatMap(_units, self._build)
            | "spread" >> beam.Reshuffle()
            | "read" >> beam.ParDo(_Read(self._build)).with_outputs(READ, main="records")
        )
        return read["records"], read[READ]


def _units(file: SourceFile, build: Build) -> Iterator[Unit]:
    return units(file, build.config.source)


def _unit_of(item: Loaded | Reject) -> str:
    """Returns the unit of the journal that `item` belongs to: a unit of work can hold several."""
    return item.unit if isinstance(item, Reject) else item.record.unit


class _Read(beam.DoFn):
    def __init__(self, build: Build) -> None:
        self._build = build

    def setup(self) -> None:
        self._runtime: Runtime = runtime(self._build)

    def process(self, unit: Unit) -> Iterator[Record | Reject | TaggedOutput]:
        count = 0
        for name, items in groupby(read(unit, self._build.config.source), _unit_of):
            self._runtime.begin_unit(name)
            for item in self._located(name, map(self._accepted, items)):
                count += 1
                self._runtime.count_in(name)
                if isinstance(item, Loaded):
                    self._runtime.images.put(item.record, item.data)
                yield item if isinstance(item, Reject) else item.record
            self._runtime.end_unit(name)
        yield TaggedOutput(READ, count)

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
        kind, width, height = info
        record = replace(record, sha256=sha256, format=kind, width=width, height=height)
        return Loaded(record, data)

    def _located(self, unit: str, items: Iterator[Loaded | Reject]) -> Iterator[Loaded | Reject]:
        """Yields the unit's items, all of whose images can be read again by themselves."""
        for item in items:
            if isinstance(item, Loaded) and item.record.image == NOWHERE:
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
