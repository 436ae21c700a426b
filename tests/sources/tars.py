"""Builds valid and damaged tars, and reads them as a build does."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from finehard.records import Reject
from finehard.sources import Loaded, SourceConfig, SourceFile, Unit, discover, read, units
from tests.pictures import jpg

CONFIG = SourceConfig(unit_size=4)
Members = Sequence[tuple[str | tarfile.TarInfo, bytes]]


def tar_bytes(members: Members, kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """Returns a tar of (name or header, data), without the padding to 10 KiB."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(data)
            tar.addfile(info, io.BytesIO(data) if data else None)
        end = tar.offset
    return out.getvalue()[: end + 1024]


def sample(key: str, seed: int = 0) -> list[tuple[str, bytes]]:
    """Returns the members of one sample in img2dataset's layout."""
    meta = {"caption": f"meta {key}", "url": f"http://x.test/{key}", "license": "CC0"}
    return [
        (f"{key}.jpg", jpg(seed)),
        (f"{key}.json", json.dumps(meta).encode()),
        (f"{key}.txt", f"text {key}".encode()),
    ]


def samples(count: int) -> list[tuple[str, bytes]]:
    """Returns the members of `count` samples with keys 000, 001, ..."""
    return [member for number in range(count) for member in sample(f"{number:03d}", number)]


def file_at(path: Path, data: bytes) -> SourceFile:
    """Writes `data` to `path`, and returns it as a source file."""
    path.write_bytes(data)
    [file] = discover(str(path), CONFIG)
    assert file.units is None or file.units == tuple(
        units(file._replace(samples=None, units=None), CONFIG)
    )
    return file


def all_of(file: SourceFile, config: SourceConfig = CONFIG) -> list[Loaded | Reject]:
    """Returns the samples and rejects of all units of `file`."""
    return [item for unit in _split(file, config) for item in read(unit, config)]


def _split(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    return units(file._replace(units=None), config)  # known units are those of `CONFIG`


def outcomes(items: Iterable[Loaded | Reject]) -> list[str]:
    """Returns the keys of samples, and "reason key" of rejects."""
    return [f"{i.reason} {i.key}" if isinstance(i, Reject) else i.record.key for i in items]


def parts(file: SourceFile, config: SourceConfig = CONFIG) -> dict[str, list[str]]:
    """Returns the keys in each unit of the journal by its id, which must be unique."""
    by_unit: dict[str, list[str]] = {}
    for unit in _split(file, config):
        for name, items in groupby(read(unit, config), unit_of):
            assert name not in by_unit
            by_unit[name] = outcomes(items)
    return by_unit


def unit_of(item: Loaded | Reject) -> str:
    """Returns the journal's unit of `item`."""
    return item.unit if isinstance(item, Reject) else item.record.unit


def in_order(taken: list[Unit], size: int) -> bool:
    """Returns whether units of a tar cover all `size` bytes, in order and without gaps."""
    edges = [0, *(unit.stop for unit in taken)]
    return [unit.start for unit in taken] == edges[:-1] and edges[-1] == size
