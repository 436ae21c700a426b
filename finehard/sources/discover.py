"""Lists the files of an input, and counts their samples: each file is opened once, in parallel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from finehard.errors import FinehardError, UsageError, error_line
from finehard.io import storage
from finehard.io.file import File
from finehard.io.ordered_map import ordered_map
from finehard.sources import folder, lists, parquet, rejected
from finehard.sources.format import first, inspect, load_format
from finehard.sources.listing import list_files
from finehard.sources.source import SourceConfig, SourceFile

_REJECTS = "rejects"
"""Stands for a format where a file can only be a table of rejects."""
_AUTO = ("tar", "parquet", "list")
"""Formats of files that hold or name several images."""
LISTS = "lists of img2dataset"
OTHER = "files of other kinds"
_MAX_KINDS = 60


class Survey(NamedTuple):
    """What an input consists of: the files to read, and by kind how many others there are."""

    files: list[SourceFile]
    unread: dict[str, int]


class _Inspected(NamedTuple):
    """What is known of a file: the file with its count, or the rows of a table of rejects; and
    whether its rows name files, the columns that are not read, why nothing can be read of it."""

    file: SourceFile | None
    rows: tuple[rejected.Row, ...] = ()
    names_files: bool = False
    unread_columns: tuple[str, ...] = ()
    error: str = ""
    kind: str = ""
    """As which it is not read, or empty."""


def discover(
    path: str, config: SourceConfig | None = None, limit: int | None = None
) -> list[SourceFile]:
    """Returns the files of `survey`. Raises as it does."""
    return survey(path, config or SourceConfig(), limit).files


def survey(path: str, config: SourceConfig, limit: int | None = None) -> Survey:
    """Returns the source files of the input at `path` with their counts, sorted by name, a folder
    of loose images last; and what is there and not read.

    With a `limit`, these are the files and units of the first `limit` samples in that order, and
    no more files are opened than that takes (some are looked at ahead).

    A file that cannot be used is a reject, unless there is nothing else. A table of rejects is
    recognised whatever the format, and stands for the files that its rows name. Raises
    `UsageError` when nothing is at `path` or `limit` is less than 1, and `FinehardError` when there
    is nothing to read.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: give a number of images, at least 1")
    path = storage.local(path)
    found: _Single | _Folder
    if storage.is_dir(path):
        found = _Folder(path, config)
    elif storage.exists(path):
        found = _Single(path, config)
    else:
        raise UsageError(f"input {path} does not exist")
    sources = found.sources()
    files = list(sources) if limit is None else first(sources, limit, config)
    return Survey(files, _bounded(found.unread))


def _bounded(unread: Counter[str]) -> dict[str, int]:
    """Returns the counts sorted by kind, the rarest kinds together where there are very many."""
    usual = dict(unread.most_common(_MAX_KINDS))
    rest = unread.total() - sum(usual.values())
    return dict(sorted(usual.items())) | ({OTHER: rest} if rest else {})


class _Input:
    """An input, and what of it is not read, as far as `sources` has come."""

    def __init__(self, path: str, config: SourceConfig) -> None:
        self.unread: Counter[str] = Counter()
        self._path = path
        self._config = config

    def _usable(self, files: list[SourceFile], beside: Beside) -> Iterator[_Inspected]:
        """Yields those of `files` that are read, and then what tables of rejects name."""
        rows: list[rejected.Row] = []
        for found in ordered_map(partial(_inspect, self._config, beside), files):
            rows += found.rows
            for name in found.unread_columns:
                self.unread[f"files with an unread column {name[:60]!r}"] += 1
            if found.kind:
                self.unread[found.kind] += 1
            if found.file or found.error:
                yield found
        yield from map(_Inspected, rejected.files(rows, self._config))


class _Single(_Input):
    """An input that is one file."""

    def sources(self) -> Iterator[SourceFile]:
        """Yields it, or what it names if it is a table of rejects. Raises `FinehardError` if it
        cannot be used."""
        name = self._path.rsplit("/", 1)[-1]
        spec = self._config.format
        if spec == "auto":
            spec = _spec(name, _suffixes(_AUTO)) or ""
        if spec in ("", "folder"):
            raise UsageError(
                f"input {self._path} is neither a folder nor a .tar or .parquet file, nor a list "
                f"({', '.join(lists.suffixes)})"
            )
        file = SourceFile(spec, self._path, name, storage.size(self._path))
        for found in self._usable([file], Beside()):
            if found.file and not found.error:
                yield found.file
            else:
                raise FinehardError(found.error)


class _Folder(_Input):
    """An input that is a folder."""

    def sources(self) -> Iterator[SourceFile]:
        """Yields its files, then the folder itself if there are loose images. Raises
        `FinehardError` if there is nothing to read."""
        listed = list_files(self._path)
        self.unread += listed.unread
        config = self._config
        specs = _AUTO if config.format == "auto" else (config.format,)
        suffixes = _suffixes(specs)
        base = len(self._path.rstrip("/")) + 1
        archives: list[SourceFile] = []
        loose: list[File] = []
        for file in listed.files:
            name = file.uri[base:]
            spec = None if specs == ("folder",) else _spec(name, suffixes)
            if spec is None or (spec == "list" and folder.is_metadata(name)):
                loose.append(file)
            else:
                archives.append(SourceFile(spec, file.uri, name, file.size))
        images = folder.Contents([], frozenset(), [], [], Counter())
        if config.format in ("auto", "folder"):
            images = folder.contents(self._path, loose)
            for name in images.imageless:
                if config.format == "folder":
                    self.unread[folder.kind(name)] += 1
                else:
                    uri = storage.join(self._path, name)
                    archives.append(SourceFile("list", uri, name, storage.size(uri)))
        if not archives and not images.images:
            archives = [SourceFile(_REJECTS, f.uri, f.uri[base:], f.size)
                        for f in listed.files if f.uri.endswith(".parquet")]  # fmt: skip
            if not archives:
                raise self._nothing(specs)
        if config.format in ("auto", "folder"):
            self.unread += images.unread
        else:
            self.unread.update(folder.kind(file.uri) for file in loose)
        yield from self._read(archives, images, Beside.of(listed.files))

    def _read(
        self, archives: list[SourceFile], images: folder.Contents, beside: Beside
    ) -> Iterator[SourceFile]:
        naming: list[SourceFile] = []
        failed: list[_Inspected] = []
        usable = False
        for found in self._usable(archives, beside):
            if found.file is None:
                continue
            if found.names_files:
                naming.append(found.file._replace(units=None))
            if found.error and not usable:
                failed.append(found)  # perhaps there is nothing else
                continue
            yield from (f.file for f in failed if f.file)
            failed, usable = [], True
            yield found.file
        loose = SourceFile("folder", self._path, "", 0, lists=tuple(naming))
        names = folder.left_to_lists(images.images, loose, self._config)
        if failed and not names:
            raise FinehardError(failed[0].error)
        yield from (f.file for f in failed if f.file)
        if names:
            texts = folder.Texts(self._path, images.metadata, self._config)
            if unmatched := texts.unmatched(images.images):
                self.unread[folder.UNMATCHED] += unmatched
            self.unread.update(folder.kind(name) for name in texts.unreadable)
            yield loose._replace(size=len(names), samples=len(names))
        elif not usable:
            found_kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.unread.items())[:9])
            raise FinehardError(f"no images in {self._path}: only {found_kinds or 'empty tables'}")

    def _nothing(self, specs: tuple[str, ...]) -> FinehardError:
        if specs == _AUTO:
            expected = f".tar or .parquet files, lists, or {', '.join(folder.suffixes[:4])}"
        else:
            expected = ", ".join(load_format(specs[0]).suffixes)
        found = ", ".join(f"{number} {kind}" for kind, number in sorted(self.unread.items()))
        hint = f"; not read: {found}" if found else ""
        return FinehardError(f"no images in {self._path}: expected {expected}{hint}")


class Beside(NamedTuple):
    """The tars and folders of an input, by URI without a suffix."""

    tars: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()

    @classmethod
    def of(cls, files: list[File]) -> Beside:
        """Returns those among `files`."""
        suffixes = load_format("tar").suffixes
        tars = (_cut(file.uri, suffixes) for file in files if file.uri.lower().endswith(suffixes))
        return cls(frozenset(tars), frozenset(os.path.dirname(file.uri) for file in files))


def _cut(uri: str, suffixes: tuple[str, ...]) -> str:
    longest = max((s for s in suffixes if uri.lower().endswith(s)), key=len)
    return uri[: -len(longest)]


def _suffixes(specs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {spec: load_format(spec).suffixes for spec in specs}


def _spec(name: str, suffixes: Mapping[str, tuple[str, ...]]) -> str | None:
    """Returns the format of a file; None for one that is loose."""
    return next((s for s, ends in suffixes.items() if name.lower().endswith(ends)), None)


def _inspect(config: SourceConfig, beside: Beside, file: SourceFile) -> _Inspected:
    """Counts the samples of `file`."""
    if file.format == "list":
        return _list(file, config)
    if not file.uri.endswith(".parquet"):
        return _Inspected(inspect(file, config))
    try:
        with storage.open_read(file.uri) as opened:
            table = pq.ParquetFile(opened)
            if rejected.is_rejects(table.schema_arrow):
                return _Inspected(None, tuple(rejected.rows(table)))
            if file.format == "parquet":
                return _parquet(file, table, beside, config)
    except (pa.ArrowException, OSError, ValueError) as error:
        if file.format != "parquet":
            line = error_line(error, 160)
            raise FinehardError(f"{file.uri} is no readable Parquet file: {line}") from None
        looked = parquet.unreadable(file, error)
        return _Inspected(_counted(file, looked), error=looked.error)
    if file.format == _REJECTS:
        suffixes = ", ".join(load_format(config.format).suffixes)
        raise FinehardError(f"{file.uri} is no table of rejects, and no {suffixes} file is there")
    return _Inspected(inspect(file, config))


def _parquet(
    file: SourceFile, table: pq.ParquetFile, beside: Beside, config: SourceConfig
) -> _Inspected:
    looked = parquet.look(table, file, config)
    stem = file.uri.removesuffix(".parquet")
    without = bool(looked.error) or looked.names_files
    about_tar = without and stem in beside.tars
    about_folder = bool(looked.error) and stem in beside.folders
    listed = (
        bool(looked.error) and parquet.is_img2dataset_list(table.schema_arrow) and beside.folders
    )
    if about_tar or about_folder or listed:
        return _Inspected(None, kind=LISTS)
    counted = _counted(file, looked)
    columns = (*looked.unread_columns, *_partitions(file.name))
    return _Inspected(counted, (), looked.names_files, columns, looked.error)


def _partitions(name: str) -> Iterator[str]:
    """Yields the columns that are in the folders' names, NAME=VALUE, as Spark and Hive write."""
    for part in os.path.dirname(name).split("/"):
        column, equals, _ = part.partition("=")
        if column and equals:
            yield column


def _counted(file: SourceFile, looked: parquet.Looked) -> SourceFile:
    samples = sum(unit.samples or 0 for unit in looked.units)
    return file._replace(samples=samples, units=looked.units)


def _list(file: SourceFile, config: SourceConfig) -> _Inspected:
    try:
        names = lists.columns(file, config)
        line = f"{file.uri} has no column of paths: it has {', '.join(names)[:200] or 'no row'}"
    except OSError as error:
        names, line = [], f"cannot read {file.uri}: {error_line(error, 160)}"
    roles = lists.by_role(names, config)
    if not roles:
        return _Inspected(None, error=line, kind=folder.kind(file.name))
    columns = tuple(name for name in names if name not in roles.values())
    return _Inspected(inspect(file, config), (), True, columns)
