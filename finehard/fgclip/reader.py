"""Reads single samples out of shards: local tars where they lie, remote ones through a cache."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import orjson
import webdataset

from finehard.dataset.layout import SIZES
from finehard.digest import digest
from finehard.errors import FinehardError, UsageError
from finehard.fgclip.order import Place, Shard
from finehard.io import storage
from finehard.records import Bytes

_IMAGES = ("jpg", "jpeg", "png", "webp")
_KEPT_INDEXES = 64


class Unreadable(Exception):
    """A sample that cannot be read; the text says why."""


class Raw(NamedTuple):
    """A sample as it lies in its shard: key, the image's bytes, and the JSON object."""

    key: str
    image: bytes
    sample: dict[str, Any]


class _Member(NamedTuple):
    offset: int
    size: int


class _Index(NamedTuple):
    key: str
    members: dict[str, _Member]


def find_shards(datasets: Sequence[str]) -> list[Shard]:
    """The shards of dataset folders, local or at URIs, with their numbers of samples.

    The numbers come from sizes.json; shards without it are opened and counted. Raises `UsageError`
    where a folder holds no shards.
    """
    found = []
    for dataset in datasets:
        folder = storage.local(dataset)
        if storage.is_remote(folder):
            _use_storage()
        inside = [f.uri for f in storage.glob(storage.join(folder, "shards"), "")]
        tars = [
            u for u in inside or [f.uri for f in storage.glob(folder, "")] if u.endswith(".tar")
        ]
        if not tars:
            raise UsageError(f"no shards in {dataset}: give the folder that `finehard build` wrote")
        sizes: dict[str, int] = {}
        if storage.exists(storage.join(folder, SIZES)):
            sizes = json.loads(storage.read_all(storage.join(folder, SIZES)))
        for uri in tars:
            count = sizes.get(uri.rsplit("/", 1)[1])
            if count is None:
                count = len(_scan(ShardReader([], 1).path(uri)))
            found.append(Shard(uri, count))
    return found


class ShardReader:
    """Samples by place. Whole remote shards are kept on disk, up to `cache_gb`, oldest out."""

    def __init__(self, shards: Sequence[Shard], cache_gb: float, cache: str | None = None) -> None:
        self.shards = list(shards)
        self._folder = cache or os.path.join(
            tempfile.gettempdir(), f"finehard-shards-{os.getuid()}"
        )
        self._cache_bytes = int(cache_gb * 1e9)
        self._indexes = lru_cache(_KEPT_INDEXES)(self._index)

    def read(self, place: Place) -> Raw:
        """The sample at `place`. Raises `Unreadable`; `FinehardError` where a shard is missing."""
        path, index = self._indexes(place.shard)
        if place.sample >= len(index):
            raise Unreadable(f"the shard ends after {len(index)} samples")
        key, members = index[place.sample]
        image = next((members[name] for name in _IMAGES if name in members), None)
        if image is None or "json" not in members:
            raise Unreadable(f"it has no {'image' if image is None else 'json'} in the shard")
        try:
            if not os.path.exists(path):  # a remote shard that had to make room
                path = self.path(self.shards[place.shard].uri)
            data, text = (storage.read(Bytes(path, *m)) for m in (image, members["json"]))
            sample = orjson.loads(text)
        except (ValueError, OSError, EOFError) as error:
            raise Unreadable(" ".join(str(error).split())) from None
        if not isinstance(sample, dict):
            raise Unreadable("its JSON is no object")
        return Raw(key, data, sample)

    def key(self, place: Place) -> str:
        """The key of the sample at `place`, or its number where the shard ends before it."""
        index = self._indexes(place.shard)[1]
        return index[place.sample].key if place.sample < len(index) else f"#{place.sample}"

    def path(self, uri: str) -> str:
        """Where the tar at `uri` lies on this machine, fetched when it is not there yet."""
        if not storage.is_remote(uri):
            return uri
        _use_storage()
        name = f"{digest(uri, 8)}-{storage.size(uri)}-{uri.rsplit('/', 1)[1]}"
        cache = webdataset.cache.FileCache(
            self._folder, url_to_name=lambda _: name, cache_size=self._cache_bytes
        )
        os.makedirs(self._folder, exist_ok=True)
        with open(os.path.join(self._folder, f".{digest(uri, 8)}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of a machine fetch a shard once
            return str(cache.get_file(uri))

    def _index(self, number: int) -> tuple[str, list[_Index]]:
        uri = self.shards[number].uri
        try:
            path = self.path(uri)
            return path, _scan(path)
        except (OSError, ValueError) as error:
            raise FinehardError(f"cannot read shard {uri}: {error}") from None


def _scan(path: str) -> list[_Index]:
    """The samples of a tar, in its order: members grouped by key, as webdataset does it.

    A tar that breaks off gives the samples before the break.
    """
    base_plus_ext = webdataset.tariterators.base_plus_ext
    found: list[_Index] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, extension = base_plus_ext(member.name)
                if not member.isfile() or key is None:
                    continue
                if not found or found[-1].key != key:
                    found.append(_Index(key, {}))
                found[-1].members[extension.lower()] = _Member(member.offset_data, member.size)
    except tarfile.TarError:
        pass
    return found


@cache
def _use_storage() -> None:
    """Makes webdataset open URIs as the rest of finehard does, and not with command line tools.

    Credentials, region and endpoint come from the environment.
    """

    from finehard.io.remote import SCHEMES

    def opened(url: str, mode: str = "rb", bufsize: int = 0, **_: Any) -> Any:
        return storage.open_read(url)

    schemes = sys.modules["webdataset.gopen"].gopen_schemes
    schemes.update(dict.fromkeys(SCHEMES, opened))
