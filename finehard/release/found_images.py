"""The user's images: which image of the release each is, and where its bytes are.

Read are img2dataset's tars, folders and Parquet files, where each image has its URL, and folders in
which files have the published paths. A file system may hold many millions of them: one folder's
names are in memory at a time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from finehard.digest import number
from finehard.errors import FinehardError, error_line
from finehard.io import storage
from finehard.records import Bytes
from finehard.release.image_id import image_id, is_published
from finehard.release.sorted_table import Table, TableWriter
from finehard.sources.source import clean_text
from finehard.sources.suffixes import IMAGES
from finehard.sources.tar import Damage, Member, members

_BATCH = 4096
_MAX_JSON = 1 << 20
_BYTES = ("jpg", "image", "bytes")
_COLUMNS = (("path_at", "u8"), ("path_size", "u4"), ("url_at", "u8"), ("url_size", "u4"),
            ("offset", "u8"), ("size", "u8"))  # fmt: skip


class _Image(NamedTuple):
    """An image file or member: its path, its place in the file, and its URL if that is known.
    `name` is the path that it would have as a file of its own, below the folder of images."""

    path: str
    offset: int
    size: int
    url: str
    name: str


class Located(NamedTuple):
    """Where an image's bytes are, and its URL; empty if unknown."""

    where: Bytes
    url: str


class FoundImages:
    """The images by number. It can be sent to other processes."""

    def __init__(self, table: Table, texts: Path, unnamed: int) -> None:
        self.table = table
        self.unnamed = unnamed
        """Images whose URL is in no url2key file, and whose path says nothing either."""
        self._texts = texts

    def __len__(self) -> int:
        return len(self.table)

    def find(self, images: list[int]) -> list[Located | None]:
        """Returns where the images with these numbers are; None for one that is not there."""
        with open(self._texts, "rb") as file:
            return [row if row is None else _located(file, row) for row in self.table.find(images)]


def _located(file: BinaryIO, row: np.void) -> Located:
    def text(name: str) -> str:
        file.seek(int(row[f"{name}_at"]))
        return os.fsdecode(file.read(int(row[f"{name}_size"])))

    return Located(Bytes(text("path"), int(row["offset"]), int(row["size"])), text("url"))


def find_images(folder: Path, urls: Table, work: Path, counts: Counter[str]) -> FoundImages:
    """Returns the images below `folder`, `urls` being the release's table of URLs.

    `work` is an empty folder for tables, and for images out of Parquet columns. `counts` gets what
    cannot be read, by kind. Raises `FinehardError` if a Parquet file of images is damaged.
    """
    table, unnamed = TableWriter(work / "found", _COLUMNS), 0
    texts = work / "texts"
    with open(texts, "wb") as out:
        last: tuple[str, int, int] = ("", 0, 0)
        for some in _batches(_images(folder, work, counts)):
            named = urls.find([number(image.url) for image in some])
            for image, row in zip(some, named, strict=True):
                if image.url and row is not None:
                    identity = int(row["image"])
                else:
                    identity = image_id(image.name)
                    if image.url and not is_published(identity):
                        unnamed += 1
                        continue
                path, url = os.fsencode(image.path), image.url.encode("utf-8", "surrogateescape")
                if last[0] != image.path:
                    last = image.path, out.tell(), len(path)
                    out.write(path)
                at = out.tell()
                out.write(url)
                table.add(identity, last[1], last[2], at, len(url), image.offset, image.size)
    return FoundImages(table.finish(), texts, unnamed)


def _batches(images: Iterator[_Image]) -> Iterator[list[_Image]]:
    some: list[_Image] = []
    for image in images:
        some.append(image)
        if len(some) >= _BATCH:
            yield some
            some = []
    if some:
        yield some


def _images(folder: Path, work: Path, counts: Counter[str]) -> Iterator[_Image]:
    root = str(folder)
    for path, names in _folders(root):
        below = os.path.relpath(path, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        yield from _of_files(path, names, prefix, counts)
        for name in names:
            whole = os.path.join(path, name)
            if name.endswith(".tar"):
                yield from _of_tar(whole, prefix, counts)
            elif name.endswith(".parquet"):
                yield from _of_parquet(whole, prefix, work)


def _folders(path: str) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder and the names of its files; folders and names sorted, hidden ones left
    out."""
    names: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith((".", "_")):
                (folders if entry.is_dir() else names).append(entry.name)
    yield path, sorted(names)
    for name in sorted(folders):
        yield from _folders(os.path.join(path, name))


def _of_files(path: str, names: list[str], prefix: str, counts: Counter[str]) -> Iterator[_Image]:
    listed: dict[str, str] | None = None
    for stem, group in groupby(names, key=lambda name: name.partition(".")[0]):
        same = list(group)
        found = [n for n in same if n.lower().endswith(IMAGES)]
        if not found:
            continue
        url = ""
        if f"{stem}.json" in same:
            url = _url_in(Path(path, f"{stem}.json").read_bytes())
        if not url:
            listed = _urls_beside(path) if listed is None else listed
            url = listed.get(stem, "")
        name = found[0]
        whole = os.path.join(path, name)
        yield _Image(whole, 0, os.path.getsize(whole), url, prefix + name)
        counts["images beside another of the same name"] += len(found) - 1


def _of_tar(path: str, prefix: str, counts: Counter[str]) -> Iterator[_Image]:
    listed: dict[str, str] | None = None
    with open(path, "rb") as file:
        found = members(file, 0, os.path.getsize(path))
        whole = _usable(found, counts)
        for stem, group in groupby(whole, key=lambda member: member.name.partition(".")[0]):
            same = {member.name[len(stem) :].lower(): member for member in list(group)}
            image = next((same[suffix] for suffix in IMAGES if suffix in same), None)
            if image is None:
                continue
            url = ""
            if (text := same.get(".json")) and text.size <= _MAX_JSON:
                url = _url_in(storage.read(Bytes(path, text.offset_data, text.size)))
            if not url:
                listed = _urls_beside(path.removesuffix(".tar")) if listed is None else listed
                url = listed.get(stem.rpartition("/")[2], "")
            name = f"{prefix}{os.path.basename(path)[:-4]}/{image.name}"
            yield _Image(path, image.offset_data, image.size, url, name)


def _usable(found: Iterator[Member | Damage], counts: Counter[str]) -> Iterator[Member]:
    for member in found:
        if isinstance(member, Damage):
            counts["damaged stretches of tars"] += 1
        elif member.regular:
            yield member


def _url_in(data: bytes) -> str:
    try:
        url = orjson.loads(data)["url"]
    except (ValueError, KeyError, TypeError):
        return ""
    return clean_text(url) or ""


def _urls_beside(path: str) -> dict[str, str]:
    """Returns the URLs by key in the list that img2dataset writes as `path`.parquet."""
    try:
        table = pq.read_table(f"{path}.parquet", columns=["key", "url"], use_threads=False)
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return {}
    keys, urls = (table.column(name).to_pylist() for name in ("key", "url"))
    return {str(key): clean_text(url) or "" for key, url in zip(keys, urls, strict=True)}


def _of_parquet(path: str, prefix: str, work: Path) -> Iterator[_Image]:
    """Yields the images in a column of bytes, copied to a file of their own."""
    try:
        file = pq.ParquetFile(path)
        kinds = {field.name: field.type for field in file.schema_arrow}
        column = next((n for n in _BYTES if n in kinds and pa.types.is_binary(kinds[n])), None)
        if column is None:
            return
        others = [name for name in ("url", "key") if name in kinds]
        copy = work / "images" / f"{number(path):016x}.bin"
        copy.parent.mkdir(exist_ok=True)
        with open(copy, "wb") as out:
            for batch in file.iter_batches(64, columns=[column, *others], use_threads=False):
                for row in batch.to_pylist():
                    if row[column]:
                        at = out.tell()
                        out.write(row[column])
                        name = f"{prefix}{row.get('key')}.jpg"
                        url = clean_text(row.get("url")) or ""
                        yield _Image(str(copy), at, len(row[column]), url, name)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FinehardError(f"{path} cannot be read: {error_line(error, 200)}") from None
