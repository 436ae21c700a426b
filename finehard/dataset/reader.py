"""Opens a dataset: its manifest, its index, and its samples by key, by shard or one after another.

Every command that reads finished datasets does so through `open_dataset`, the trainer included.
Tars of samples without index.parquet and manifest.json can be opened too; their samples are then
located by a scan of the tars' headers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, BinaryIO, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from finehard.dataset.layout import (
    DROPPED,
    INDEX,
    JOURNAL,
    MANIFEST,
    SIZES,
    shard_name,
    shard_of,
)
from finehard.dataset.parts import table_files, with_shard
from finehard.dataset.shard import Entry, Sample, ShardSamples, scan_shard
from finehard.dataset.shard_cache import ShardCache
from finehard.errors import FinehardError, UsageError, error_line
from finehard.images import ANY_SIDE, ImagesConfig
from finehard.io import storage
from finehard.io.ordered_map import ordered_map
from finehard.io.parquet import read_table
from finehard.records import Bytes, one_line

LOCATION = ["key", "shard", "image_offset", "image_size", "json_offset", "json_size"]
"""Columns of the index that locate a sample."""
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
_SHARDS_IN_MEMORY = 16
"""Shards whose samples' locations are held, for access by key."""


class Shard(NamedTuple):
    """The path or URI of a tar of samples, how many it holds, and the limits of their images."""

    uri: str
    samples: int
    limits: ImagesConfig = ANY_SIDE


class Dataset:
    """A dataset in the folder or at the URI `uri`.

    `for sample in dataset` iterates over all samples in shard order, `dataset[key]` is the sample
    with that key, `dataset.shard(n)[m]` sample m of shard n. Files are read on access; memory holds
    the locations of the samples of a few shards, never all annotations.
    """

    def __init__(self, uri: str, cache: ShardCache | None = None) -> None:
        self.uri = uri
        self._cache = cache
        self._located = lru_cache(_SHARDS_IN_MEMORY)(self._locate)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """manifest.json. Raises `UsageError` if there is none: the dataset is not finished."""
        uri = storage.join(self.uri, MANIFEST)
        try:
            manifest = json.loads(storage.read_all(uri))
        except (OSError, ValueError):
            raise UsageError(
                f"{self.uri} has no {MANIFEST}: not a dataset, or its build did not finish "
                "(run it again)"
            ) from None
        if not isinstance(manifest, dict) or not {"counts", "shards", "config"} <= manifest.keys():
            raise UsageError(f"{uri} is not a dataset's manifest")
        return manifest

    @cached_property
    def limits(self) -> ImagesConfig:
        """How large an image may be: as the dataset was built, of any side. The defaults where
        there is no manifest or it does not say."""
        try:
            given = dict(self.manifest["config"]["images"])
        except (UsageError, KeyError, TypeError, ValueError):
            return ANY_SIDE
        names = [n for n in ("max_bytes", "max_pixels") if type(given.get(n)) is int]
        return replace(ANY_SIDE, **{name: given[name] for name in names})

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """The tars in `shards/` (or else in the folder itself) by name, with their sample counts.

        Counts are those of sizes.json; a tar that it does not list is scanned. Damaged and empty
        tars, compressed ones (which are not read) and a malformed sizes.json are reported on
        standard error. Raises `UsageError` if there are no tars.
        """
        tars: list[str] = []
        compressed: list[str] = []
        for folder in (storage.join(self.uri, "shards"), self.uri):
            files = [f.uri for f in storage.glob(folder, "")]
            tars = [uri for uri in files if uri.endswith(".tar")]
            compressed += [uri for uri in files if uri.endswith(_COMPRESSED)]
            if tars:
                break
        if compressed:
            unread = f"{len(compressed)} compressed tars are not read ({compressed[0]}, ...): "
            _report(unread + "unpack them first")
        if not tars:
            raise UsageError(
                f"no shards in {self.uri}: give the folder that `finehard build` wrote"
            )
        sizes = self._sizes()
        return tuple(
            Shard(uri, sizes[name] if (name := _name(uri)) in sizes else self._count(uri),
                  self.limits)
            for uri in tars
        )  # fmt: skip

    def __len__(self) -> int:
        return sum(shard.samples for shard in self.shards)

    def __iter__(self) -> Iterator[Sample]:
        """All samples in the order of the shards.

        From a remote dataset some are read ahead. Raises `UnreadableSample`, and `FinehardError`
        where a shard that is scanned is damaged.
        """
        samples = self._samples()
        return self.read_ahead(samples) if storage.is_remote(self.uri) else samples

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> Sample:
        """The sample with `key`.

        Only the part of the index for the key's own shard is read. Without a manifest the shards
        are searched one after another. Raises `KeyError`.
        """
        sample = self._find(key)
        if sample is None:
            raise KeyError(key)
        return sample

    def keys(self) -> Iterator[str]:
        """The keys of all samples in the order of the shards."""
        if self._tables:
            for batch in self.rows(["key"]):
                yield from batch.column("key").to_pylist()
        else:
            for number in range(len(self.shards)):
                yield from self.shard(number).keys()

    def shard(self, number: int) -> ShardSamples:
        """The samples of shard `number`, which can be accessed at random.

        Raises `FinehardError` if the shard is missing.
        """
        return self.located(self.shards[number].uri)

    def located(self, uri: str) -> ShardSamples:
        """The samples of the shard at `uri`, by the index or else by a scan of the tar."""
        return self._located(uri)

    def shard_with(self, key: str) -> str:
        """The path or URI of the shard that `key` belongs to. Raises `UsageError` if there is no
        manifest."""
        count = len(self.manifest["shards"])
        return storage.join(self.uri, "shards", shard_name(shard_of(key, count), count) + ".tar")

    def rows(self, columns: list[str], batch_size: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Some columns of the index, in record batches of at most `batch_size` rows.

        Raises `UsageError` if the index is missing or damaged.
        """
        for uri in self._tables:
            with _opened(uri) as file:
                yield from pq.ParquetFile(file).iter_batches(batch_size, columns=columns)

    def rows_of(self, shards: Sequence[str], columns: list[str]) -> pa.Table:
        """Some columns of the index for `shards`, file names of tars. Raises as `rows`."""
        of_file: dict[str, list[str]] = {}
        for shard in shards:
            for uri in with_shard(self._tables, shard):
                of_file.setdefault(uri, []).append(shard)
        tables = []
        for uri in self._tables:
            if names := of_file.get(uri):
                with _opened(uri) as file:
                    only = [("shard", "in", names)]
                    tables.append(read_table(file, columns=columns, filters=only))
        return pa.concat_tables(tables)

    def sample_at(self, row: dict[str, Any]) -> Sample:
        """The sample of an index row that has the columns `LOCATION`."""
        uri = storage.join(self.uri, "shards", row["shard"])
        return Sample(uri, _entry(uri, row), True, self.limits)

    def read_ahead(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """`samples` with their JSON read; from a remote dataset, several at a time."""
        return (ordered_map if storage.is_remote(self.uri) else map)(_with_json, samples)

    def scan(self, uri: str) -> ShardSamples:
        """The samples of the tar at `uri`, located by its headers.

        Raises `FinehardError` if it is missing.
        """
        try:
            path = self._cache.fetch(uri) if self._cache else uri
            return scan_shard(uri, path, self.limits)
        except OSError as error:
            raise FinehardError(f"cannot read shard {uri}: {error}") from None

    @cached_property
    def _tables(self) -> list[str]:
        """The files of the index; none if there is no index."""
        return table_files(self.uri, INDEX)

    @cached_property
    def _has_manifest(self) -> bool:
        return storage.exists(storage.join(self.uri, MANIFEST))

    def _sizes(self) -> dict[str, int]:
        uri = storage.join(self.uri, SIZES)
        try:
            sizes = json.loads(storage.read_all(uri))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):
            sizes = None
        if not isinstance(sizes, dict):
            _report(f"{uri} is not a JSON object; the shards' samples are counted instead")
            return {}
        numbers = {name: n for name, n in sizes.items() if type(n) is int and n >= 0}
        if wrong := sorted(sizes.keys() - numbers.keys()):
            _report(
                f"{uri} has no number of samples for {len(wrong)} shards ({one_line(wrong[0])}); "
                "their samples are counted instead"
            )
        return numbers

    def _count(self, uri: str) -> int:
        samples = self.scan(uri)
        if samples.damage:
            _report(
                f"shard {uri} is damaged ({samples.damage}); {len(samples)} samples of it are used"
            )
        elif not samples:
            _report(f"shard {uri} is empty")
        return len(samples)

    def _locate(self, uri: str) -> ShardSamples:
        if not self._tables:
            return self.scan(uri)
        rows = self.rows_of([_name(uri)], LOCATION)
        entries = [_entry(uri, row) for row in rows.to_pylist()]
        return ShardSamples(uri, entries, from_index=True, limits=self.limits)

    def _samples(self) -> Iterator[Sample]:
        if self._tables:
            for batch in self.rows(LOCATION, 4096):
                yield from map(self.sample_at, batch.to_pylist())
            return
        for shard in self.shards:
            samples = self.scan(shard.uri)
            yield from samples
            if samples.damage or len(samples) < shard.samples:
                damage = samples.damage or f"{len(samples)} of {shard.samples} samples are in it"
                raise FinehardError(f"shard {shard.uri} is damaged: {damage}")

    def _find(self, key: str) -> Sample | None:
        if self._has_manifest:
            shards = [self.shard_with(key)]
        else:
            shards = [shard.uri for shard in self.shards]
        for uri in shards:
            samples = self._located(uri)
            for number, other in enumerate(samples.keys()):
                if other == key:
                    return samples[number]
        return None


def open_dataset(path: str | os.PathLike[str], cache: ShardCache | None = None) -> Dataset:
    """Returns the dataset in the folder or at the URI `path`.

    With `cache`, remote shards that have to be scanned are downloaded whole. Raises `UsageError` if
    there is no such folder; that the dataset is not finished is reported when `manifest` is read.
    """
    uri = storage.local(os.fspath(path))
    if not storage.is_dir(uri):
        what = "is a file, not a folder" if storage.exists(uri) else "does not exist"
        raise UsageError(f"dataset {uri} {what}")
    return Dataset(uri, cache)


def dropped_examples(uri: str) -> dict[str, list[tuple[str, str]]]:
    """For each rule that dropped parts of samples in the dataset at `uri`: a few (key, part) pairs.

    Empty if the dataset was copied without its journal.
    """
    try:
        examples = orjson.loads(storage.read_all(storage.join(uri, JOURNAL, DROPPED)))
        return {str(rule): [(str(key), str(part)) for key, part in pairs]
                for rule, pairs in examples.items()}  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@contextmanager
def _opened(uri: str) -> Iterator[BinaryIO]:
    try:
        with storage.open_read(uri) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{uri} cannot be read: {error_line(error, 160)}") from None


def _report(line: str) -> None:
    print(f"finehard: {line}", file=sys.stderr)


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def _entry(uri: str, row: dict[str, Any]) -> Entry:
    image, text = (Bytes(uri, row[f"{m}_offset"], row[f"{m}_size"]) for m in ("image", "json"))
    return Entry(row["key"], image, text)


def _with_json(sample: Sample) -> Sample:
    _ = sample.json
    return sample
