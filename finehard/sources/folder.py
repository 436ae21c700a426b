"""A folder of images, with the texts of NAME.txt, an ImageFolder's metadata, or NAME.json."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from finehard.io import storage
from finehard.io.file import File
from finehard.io.ordered_map import ordered_map
from finehard.records import Bytes, Record, Reject
from finehard.sources import lists, parquet
from finehard.sources.listing import list_files
from finehard.sources.rows import PATH_COLUMNS, TEXT_COLUMNS, text_of
from finehard.sources.source import (
    Loaded,
    Side,
    SourceConfig,
    SourceFile,
    Unit,
    chosen_metadata,
    clean_text,
    cuts,
    safe_key,
    unit_id,
    wanted,
)
from finehard.sources.suffixes import IMAGES, LOOKED_AT, is_image

suffixes = IMAGES
METADATA = ("metadata.jsonl", "metadata.csv")
"""Files of an ImageFolder that name the images of their folder and say the text of each."""
STATISTICS = "statistics of img2dataset"
ORPHANS = "texts without an image of their name"
UNMATCHED = "rows of metadata without their image"
_MAX_SIDE_FILE = 1 << 20


class Contents(NamedTuple):
    """Names relative to the folder, sorted: the images, the files that go with them, metadata that
    does and metadata without an image; and the number of all other files by kind."""

    images: list[str]
    beside: frozenset[str]
    metadata: list[str]
    imageless: list[str]
    unread: Counter[str]


def contents(folder: str, files: Iterable[File]) -> Contents:
    """Returns what is in `files`, which are below `folder`.

    A file without a suffix is an image if it begins like one (on disks only).
    """
    base = len(folder.rstrip("/")) + 1
    images: list[str] = []
    others: list[str] = []
    for file in files:
        name = file.uri[base:]
        (images if _is_image(file.uri, name) else others).append(name)
    stems = {os.path.splitext(name)[0] for name in images}
    folders = {os.path.dirname(name) for name in images}
    beside: list[str] = []
    metadata: list[str] = []
    imageless: list[str] = []
    unread: Counter[str] = Counter()
    for name in others:
        stem, suffix = os.path.splitext(name)
        parent, last = os.path.split(name)
        if suffix in (".txt", ".json") and stem in stems:
            beside.append(name)
        elif is_metadata(name):
            used = any(f == parent or _is_below(f, parent) for f in folders)
            (metadata if used else imageless).append(name)
        elif last.endswith("_stats.json"):
            unread[STATISTICS] += 1
        elif suffix == ".txt":
            unread[ORPHANS] += 1
        else:
            unread[kind(name)] += 1
    return Contents(images, frozenset(beside), metadata, imageless, unread)


def is_metadata(name: str) -> bool:
    """Returns whether a file of this name can be an ImageFolder's metadata."""
    return os.path.basename(name) in METADATA


def kind(name: str) -> str:
    """Returns what a file of this name is counted as where it is not read."""
    suffix = os.path.splitext(name)[1].lower()
    return f"{suffix} files" if 1 < len(suffix) <= 12 else "files without a suffix"


def _is_below(folder: str, parent: str) -> bool:
    return not parent or folder.startswith(parent + "/")


def _is_image(uri: str, name: str) -> bool:
    if name.lower().endswith(suffixes):
        return True
    if storage.is_remote(uri) or "." in os.path.basename(name):
        return False
    try:
        with storage.open_read(uri) as file:
            return is_image(file.read(LOOKED_AT))
    except OSError:
        return False


def left_to_lists(names: list[str], file: SourceFile, config: SourceConfig) -> list[str]:
    """Returns the images among `names` in the folder `file` that no list of the input names."""
    if not file.lists:
        return names
    named: set[str] = set()
    for table in file.lists:
        paths = parquet.paths if table.format == "parquet" else lists.paths
        root = storage.local(config.image_root or os.path.dirname(table.uri))
        for path in paths(table, config):
            if storage.is_remote(root):
                named.add(storage.join(root, path.removeprefix(root).lstrip("/")))
            else:
                named.add(os.path.normpath(os.path.join(root, path)))
    return [name for name in names if storage.join(file.uri, name) not in named]


class Texts:
    """The texts of an ImageFolder's metadata, by the image's name in the folder.

    An image goes by the metadata in its own folder, or else in the nearest one above. `unreadable`
    are the names of metadata that cannot be read.
    """

    def __init__(self, folder: str, names: Iterable[str], config: SourceConfig) -> None:
        self._texts: dict[str, dict[str, str | None]] = {}
        self.unreadable: list[str] = []
        for name in names:
            texts = self._texts.setdefault(os.path.dirname(name), {})
            file = SourceFile("list", storage.join(folder, name), name, 0)
            try:
                texts.update(_rows(file, os.path.dirname(name), config))
            except OSError:  # images need no text
                self.unreadable.append(name)

    def get(self, name: str) -> str | None:
        """Returns the text of the image `name`; None without."""
        parent = name
        while parent:
            parent = os.path.dirname(parent)
            if name in (texts := self._texts.get(parent, {})):
                return texts[name]
        return None

    def unmatched(self, names: Iterable[str]) -> int:
        """Returns the number of rows whose image is not among `names`."""
        images = set(names)
        return sum(name not in images for texts in self._texts.values() for name in texts)


def _rows(file: SourceFile, parent: str, config: SourceConfig) -> Iterator[tuple[str, str | None]]:
    with storage.open_read(file.uri) as opened:
        for row in lists.rows(opened, file.uri):
            names = (row.values.get(name) for name in ("file_name", *PATH_COLUMNS))
            path = next((name for name in names if isinstance(name, str) and name), None)
            asked = (config.text_column,) if config.text_column else ("text", *TEXT_COLUMNS)
            texts = (text_of(row.values.get(name)) for name in asked)
            if path:
                full = os.path.normpath(os.path.join(parent, path))
                yield full, next((text for text in texts if text), None)


def units(file: SourceFile, config: SourceConfig) -> Iterator[Unit]:
    """Splits the sorted names of the images. The texts beside them are read in `read`."""
    found = contents(file.uri, list_files(file.uri).files)
    names = left_to_lists(found.images, file, config)
    texts = Texts(file.uri, found.metadata, config)
    start = 0
    for index, cut in enumerate(cuts(names, config.unit_size)):
        if cut:
            yield from _unit(file, names, found, texts, start, index)
            start = index
    yield from _unit(file, names, found, texts, start, len(names))


def _unit(
    file: SourceFile, names: list[str], found: Contents, texts: Texts, start: int, stop: int
) -> Iterator[Unit]:
    chosen = tuple(name for name in names[start:stop] if wanted(file, _source(file, name)))
    if chosen:
        every = file._replace(only=None, lists=())  # of these names
        sides = tuple(_side(name, found, texts) for name in chosen)
        unit = unit_id(file, names[start])
        yield Unit(unit, every, start, stop, chosen, len(chosen), sides=sides)


def _side(name: str, found: Contents, texts: Texts) -> Side:
    stem = os.path.splitext(name)[0]
    return Side(f"{stem}.txt" in found.beside, f"{stem}.json" in found.beside, texts.get(name))


def _source(file: SourceFile, name: str) -> str:
    """Returns the image's path, as valid Unicode where the name on disk is not."""
    uri = storage.join(file.uri, name)
    return uri.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read(unit: Unit, config: SourceConfig) -> Iterator[Loaded | Reject]:
    """Yields the unit's images. One that no longer exists or cannot be read is a reject."""
    load = partial(_load, unit, config)
    named = zip(unit.names, unit.sides, strict=True)
    yield from ordered_map(load, named) if storage.is_remote(unit.file.uri) else map(load, named)


def _load(unit: Unit, config: SourceConfig, named: tuple[str, Side]) -> Loaded | Reject:
    name, side = named
    uri = storage.join(unit.file.uri, name)
    key = safe_key(os.path.splitext(name)[0])
    if uri != (source := _source(unit.file, name)):
        return Reject(key, source, "source", "unreadable_image", "its name is not UTF-8")
    try:
        size = storage.size(uri)
        if size > config.max_image_bytes:
            return Reject(key, uri, "source", "image_file_too_large", f"{size} bytes")
        data = storage.read(Bytes(uri, 0, size))
    except (OSError, EOFError) as error:
        return Reject(key, uri, "source", "unreadable_image", str(error)[:200])
    stem = os.path.splitext(uri)[0]
    text = _beside(f"{stem}.txt").decode("utf-8", "replace") if side.text else None
    meta = _object(_beside(f"{stem}.json")) if side.meta else {}
    record = Record(
        key=key,
        source=uri,
        unit=unit.id,
        image=Bytes(uri, 0, size),
        sha256="",
        alt_text=clean_text(text) or side.listed or text_of(meta.get("caption")),
        url=clean_text(meta.get("url")),
        license=clean_text(meta.get("license")),
        metadata=chosen_metadata(meta, config),
    )
    return Loaded(record, data)


def _beside(uri: str) -> bytes:
    try:
        with storage.open_read(uri) as file:
            return file.read(_MAX_SIDE_FILE)
    except OSError:
        return b""


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}  # metadata is optional: the image is read without it
    return value if isinstance(value, dict) else {}
