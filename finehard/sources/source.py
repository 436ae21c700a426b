"""What every kind of source gives: files, units of work, samples with their bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from finehard.digest import digest, number
from finehard.records import Record, Reject
from finehard.settings.ranges import Positive

MAX_TEXT = 10_000
"""Characters of alt text, URL or licence that are kept."""


@dataclass(frozen=True)
class SourceConfig:
    """How input is read. Column names are for Parquet; None: the usual names are looked for."""

    unit_size: Positive = 256
    """Samples in a unit of work, about."""
    key_column: str | None = None
    image_column: str | None = None
    path_column: str | None = None
    text_column: str | None = None
    image_root: str | None = None
    """Folder that Parquet paths are below; None: the folder of the Parquet file."""
    max_image_bytes: Positive = 100_000_000
    """Larger image files are rejected unread."""


class SourceFile(NamedTuple):
    """One file of the input, or for a folder of images the folder. `name` is relative to the input.

    `only` holds the sources to take where rejects are fed back, else None.
    """

    kind: str
    uri: str
    name: str
    size: int
    only: frozenset[str] | None = None


class Unit(NamedTuple):
    """A stretch of a source file: bytes of a tar, rows of a Parquet file, names of a folder."""

    id: str
    file: SourceFile
    start: int
    stop: int
    names: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A sample as it was read. `record.image` is empty where its bytes lie at no fixed place."""

    record: Record
    data: bytes


def _kind(file: SourceFile) -> Any:
    from finehard.sources import folder, parquet, webdataset

    return {"tar": webdataset, "parquet": parquet, "folder": folder}[file.kind]


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """The units of `file`, in order, together all of it."""
    yield from _kind(file).units(file, config)


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """The samples of `unit`, one at a time; what cannot be read comes as a reject."""
    for item in _kind(unit.file).read(unit, config):
        source = item.source if isinstance(item, Reject) else item.record.source
        if wanted(unit.file, source):
            yield replace(item, unit=unit.id) if isinstance(item, Reject) else item


def wanted(file: SourceFile, source: str) -> bool:
    """Whether `source` is to be taken: all are, but where rejects are fed back."""
    return file.only is None or source in file.only


def count(file: SourceFile, config: SourceConfig) -> int:
    """How many samples `file` should have: from its footer or statistics where it has some."""
    if file.only is not None:
        return len(file.only)
    return _kind(file).count(file, config)


def unit_id(file: SourceFile, first_key: str) -> str:
    """Names a unit by its file's name in the input and its first key, wherever the input lies."""
    # names on a disk need not be Unicode
    return digest([n.encode("utf-8", "backslashreplace").hex() for n in (file.name, first_key)], 8)


def cuts(keys: Iterable[str | None], size: int) -> Iterator[bool]:
    """For each key whether a new unit begins with it: about every `size`, at most 4 x `size`.

    None is what no unit may begin with."""
    held = 0
    for key in keys:
        cut = key is not None and held > 0 and (held >= 4 * size or number(key) % size == 0)
        held = 1 if cut else held + 1
        yield cut


def safe_key(name: str) -> str:
    """`name` as a key: letters, digits, _ and -, at most 80 characters (tar headers stay short)."""
    key = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    if len(key) > 80:
        key = f"{key[:63]}_{digest(name.encode('utf-8', 'backslashreplace').hex(), 8)}"
    return key or "_"


def clean_text(value: Any) -> str | None:
    """`value` as text to keep: None unless it is a string with something in it."""
    if not isinstance(value, str):
        return None
    text = value[: MAX_TEXT * 2].encode("utf-8", "replace").decode("utf-8").replace("\0", "")
    return text.strip()[:MAX_TEXT] or None
