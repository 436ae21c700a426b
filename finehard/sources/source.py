"""What all source formats have in common: files, units of work, samples with their bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from finehard.digest import digest, number
from finehard.records import Bytes, Record
from finehard.settings.ranges import Positive

MAX_TEXT = 10_000
"""Maximum length of alt text, URL and licence, in characters."""
NOWHERE = Bytes("", 0, 0)
"""The location of an image whose bytes cannot be read again by themselves, such as those in a
column of a Parquet file."""


@dataclass(frozen=True)
class SourceConfig:
    """How input is read. Column names are for Parquet; None: the usual names are tried."""

    format: str = "auto"
    """"auto" (by suffix), "tar", "parquet", "folder", or module:attribute of a `Format`."""
    unit_size: Positive = 256
    """Approximate number of samples in a unit of work."""
    key_column: str | None = None
    image_column: str | None = None
    path_column: str | None = None
    text_column: str | None = None
    image_root: str | None = None
    """Folder of the paths in a Parquet file; None: the folder of the Parquet file."""
    max_image_bytes: Positive = 100_000_000
    """Larger image files are rejected without being read."""
    removal_list: str | None = None
    """File that names samples to leave out, by URL, key or SHA-256; see docs/publishing.md."""
    metadata: tuple[str, ...] = ()
    """Further columns, or keys of the JSON beside an image, that stages can look at; those of
    `curate.columns` need not be named here."""


class SourceFile(NamedTuple):
    """One file of the input, or a folder of images. `name` is relative to the input.

    `size` is in bytes, of a folder in images; `samples` is the number of samples. `only` is the
    sources to read where rejects are fed back, else None. `units` is set where counting meant
    reading the whole file, and where not all of them are wanted. `lists` are the files of the
    input whose rows name images, which a folder leaves to them.
    """

    format: str
    uri: str
    name: str
    size: int
    samples: int | None = None
    only: frozenset[str] | None = None
    units: tuple[Unit, ...] | None = None
    lists: tuple[SourceFile, ...] = ()


class Side(NamedTuple):
    """What goes with an image in a folder: a text file, a JSON file, a text in a list."""

    text: bool
    meta: bool
    listed: str | None


class Unit(NamedTuple):
    """A stretch of a source file: bytes of a tar, rows of a Parquet file, names in a folder.

    `samples` is the number of its samples, where splitting the file determines it. Only the first
    `limit` of them are read; None: all. `sides` says of each of `names`
    what is there besides the image.
    """

    id: str
    file: SourceFile
    start: int
    stop: int
    names: tuple[str, ...] = ()
    samples: int | None = None
    limit: int | None = None
    sides: tuple[Side, ...] = ()


class Loaded(NamedTuple):
    """A sample that was read: its record, and the bytes of its image file."""

    record: Record
    data: bytes


def wanted(file: SourceFile, source: str) -> bool:
    """Returns whether to read `source`: everything, unless rejects are fed back."""
    return file.only is None or source in file.only


def unit_id(file: SourceFile, first_key: str) -> str:
    """Returns a unit's id, made from its file's name in the input and its first key."""
    # names on a disk need not be Unicode
    return digest([n.encode("utf-8", "backslashreplace").hex() for n in (file.name, first_key)], 8)


def cuts(keys: Iterable[str | None], size: int) -> Iterator[bool]:
    """Yields for each key whether a new unit begins there: on average every `size` keys, at most
    `4 * size` apart, never at None."""
    length = 0
    for key in keys:
        cut = key is not None and length > 0 and (length >= 4 * size or number(key) % size == 0)
        length = 1 if cut else length + 1
        yield cut


def safe_key(name: str) -> str:
    """Returns `name` as a key: ASCII letters, digits, _ and -, at most 80 characters.

    These fit every tar header, object store and URL. A name in another script, which would lose
    its letters, ends in a hash of the whole name, and so does a longer one.
    """
    key = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    if len(key) > 80 or not name.isascii():
        key = f"{key[:63]}_{digest(name.encode('utf-8', 'backslashreplace').hex(), 8)}"
    return key or "_"


def chosen_metadata(values: Mapping[str, Any], config: SourceConfig) -> dict[str, Any]:
    """Returns the numbers, truth values and short texts among `values` that `config` asks for."""
    found = {name: values.get(name) for name in config.metadata}
    return {
        name: clean_text(value) if isinstance(value, str) else value
        for name, value in found.items()
        if isinstance(value, str | int | float)
    }


def clean_text(value: Any) -> str | None:
    """Returns `value` stripped and cut to `MAX_TEXT`; None unless it is a non-empty string."""
    if not isinstance(value, str):
        return None
    text = value[: MAX_TEXT * 2].encode("utf-8", "replace").decode("utf-8").replace("\0", "")
    return text.strip()[:MAX_TEXT] or None
