"""Makes tars, good and bad, and reads them as a build does."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from finehard.records import Reject
from finehard.sources import Loaded, SourceConfig, SourceFile, Unit, discover, read, units
from tests.pictures import jpg

CONFIG = SourceConfig(unit_size=4)
Members = Sequence[tuple[str | tarfile.TarInfo, bytes]]


def tar_bytes(members: Members, kind: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of (name or header, data), without the zeros that fill the last 10 KiB."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(data)
            tar.addfile(info, io.BytesIO(data) if data else None)
        end = tar.offset
    return out.getvalue()[: end + 1024]


def sample(key: str, seed: int = 0) -> list[tuple[str, bytes]]:
    """One sample in img2dataset's layout."""
    meta = {"caption": f"meta {key}", "url": f"http://x.test/{key}", "license": "CC0"}
    return [
        (f"{key}.jpg", jpg(seed)),
        (f"{key}.json", json.dumps(meta).encode()),
        (f"{key}.txt", f"text {key}".encode()),
    ]


def samples(count: int) -> list[tuple[str, bytes]]:
    """`count` samples with keys 000, 001, ..."""
    return [member for number in range(count) for member in sample(f"{number:03d}", number)]


def file_at(path: Path, data: bytes) -> SourceFile:
    """The source file that `data` becomes at `path`."""
    path.write_bytes(data)
    [file] = discover(str(path))
    return file


def all_of(file: SourceFile, config: SourceConfig = CONFIG) -> list[Loaded | Reject]:
    """Everything that all units of `file` give."""
    return [item for unit in units(file, config) for item in read(unit, config)]


def told(items: Iterable[Loaded | Reject]) -> list[str]:
    """Keys of what was loaded, and "reason key" of rejects."""
    return [f"{i.reason} {i.key}" if isinstance(i, Reject) else i.record.key for i in items]


def parts(file: SourceFile, config: SourceConfig = CONFIG) -> dict[str, list[str]]:
    """The keys in each unit, by the unit's id, which must be unlike all others."""
    found: dict[str, list[str]] = {}
    for unit in units(file, config):
        assert unit.id not in found
        found[unit.id] = told(read(unit, config))
    return found


def in_order(taken: list[Unit], size: int) -> bool:
    """Whether byte units follow each other without a gap over all of `size` bytes."""
    edges = [0, *(unit.stop for unit in taken)]
    return [unit.start for unit in taken] == edges[:-1] and edges[-1] == size
