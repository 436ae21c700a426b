"""The contract of a source format, and how files of any format are counted, split and read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Protocol, cast

from finehard import registry
from finehard.records import Reject
from finehard.sources import folder, lists, parquet, webdataset
from finehard.sources.source import Loaded, SourceConfig, SourceFile, Unit, unit_id, wanted


class Format(Protocol):
    """How one kind of source file is read: a module, or an object with these attributes.

    A user's own format, named in `source.format` as module:attribute, needs `suffixes` and `read`
    only. A file that cannot be split is one unit; one that cannot be counted is read for that.
    """

    suffixes: tuple[str, ...]
    """File name endings, with the dot, by which files in a folder are recognised."""

    def read(self, unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
        """Yields the unit's samples, and a reject for each that cannot be read.

        A record's `source` must be the file's URI, or begin with it and "#"; its `image` is
        `NOWHERE` unless the image's bytes can be read again from there.
        """
        ...

    def count(self, file: SourceFile, config: SourceConfig) -> int | None:
        """Optional. Returns the number of samples; None if only `units` can tell."""
        ...

    def units(self, file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
        """Optional. Splits the file into units, with their `samples` where it is known."""
        ...

    def position(self, source: str) -> int | None:
        """Optional. Returns where a source is, on the scale of a unit's `start` and `stop`: units
        that have none of the rejects fed back are then left out."""
        ...


FORMATS: Mapping[str, Callable[[], Format]] = {
    "tar": lambda: cast(Format, webdataset),
    "parquet": lambda: cast(Format, parquet),
    "list": lambda: cast(Format, lists),
    "folder": lambda: cast(Format, folder),
}


def load_format(spec: str) -> Format:
    """Returns the format `spec`: a key of `FORMATS`, or module:attribute. Raises `UsageError`."""
    return registry.load(spec, FORMATS, "source.format")


def inspect(file: SourceFile, config: SourceConfig) -> SourceFile:
    """Returns `file` with its count, and with its units where counting meant reading the file."""
    source_format = load_format(file.format)
    count = source_format.count(file, config) if hasattr(source_format, "count") else None
    if count is not None:
        return file._replace(samples=count)
    split = tuple(_split(source_format, file, config))
    counts = (
        sum(1 for _ in source_format.read(unit, config)) if unit.samples is None else unit.samples
        for unit in split
    )
    return file._replace(samples=sum(counts), units=split)


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Yields the units of `file`, in order; where rejects are fed back, only those with some."""
    source_format = load_format(file.format)
    split = _split(source_format, file, config) if file.units is None else file.units
    if file.only is None or not hasattr(source_format, "position"):
        yield from split
        return
    positions = ((source_format.position(source), source) for source in file.only)
    ordered = sorted((at, source) for at, source in positions if at is not None)
    for unit in split:
        start, stop = (bisect_left(ordered, (at,)) for at in (unit.start, unit.stop))
        if start < stop:
            only = frozenset(source for _, source in ordered[start:stop])
            yield unit._replace(file=unit.file._replace(only=only))


def _split(source_format: Format, file: SourceFile, config: SourceConfig) -> Iterable[Unit]:
    if hasattr(source_format, "units"):
        return source_format.units(file, config)
    return [Unit(unit_id(file, ""), file, 0, file.size)]


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the samples of `unit`; one that cannot be read is a reject."""
    items = load_format(unit.file.format).read(unit, config)
    chosen = (item for item in items if wanted(unit.file, _source(item)))
    for item in islice(chosen, unit.limit):
        if isinstance(item, Reject) and not item.unit:
            item = replace(item, unit=unit.id)
        yield item


def _source(item: Loaded | Reject) -> str:
    return item.source if isinstance(item, Reject) else item.record.source


def first(files: Iterable[SourceFile], limit: int, config: SourceConfig) -> list[SourceFile]:
    """Returns `files` up to their sample number `limit`, with the units that hold these samples.

    Counts what is there, not what a file's statistics claim. Takes no more of `files` than needed.
    """
    chosen: list[SourceFile] = []
    for file in files:
        taken: list[Unit] = []
        for unit in units(file, config):
            count = _count(unit, limit, config)
            taken.append(unit._replace(samples=count, limit=count))
            limit -= count
            if limit == 0:
                break
        samples = sum(unit.samples or 0 for unit in taken)
        chosen.append(file._replace(samples=samples, units=tuple(taken)))
        if limit == 0:
            break
    return chosen


def _count(unit: Unit, most: int, config: SourceConfig) -> int:
    """Returns the number of samples of `unit` to read, at most `most`."""
    if unit.samples is not None and unit.file.only is None:
        return min(unit.samples, most)
    return sum(1 for _ in islice(read(unit, config), most))
