"""Reads single samples of several datasets in any order, as training needs them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from finehard.dataset.reader import open_dataset
from finehard.dataset.shard import ShardSamples, UnreadableSample, scan_shard
from finehard.dataset.shard_cache import ShardCache
from finehard.errors import FinehardError, UsageError
from finehard.fgclip.sampler import SampleIndex, Shard
from finehard.io import storage

_INDEXES_IN_MEMORY = 64
_WEIGHTED = re.compile(r"(.+)=(\d+(?:\.\d+)?|\.\d+)")


class Raw(NamedTuple):
    """A sample as it is in its shard: key, encoded image, annotations."""

    key: str
    image: bytes
    sample: dict[str, Any]


def find_shards(datasets: Sequence[str]) -> list[Shard]:
    """The shards of dataset folders or URIs, with their sample counts.

    Raises `UsageError` if a folder holds no shards, or none has samples.
    """
    cache = ShardCache(gigabytes=1.0)
    shards = [shard for dataset in datasets for shard in open_dataset(dataset, cache).shards]
    if not any(shard.samples for shard in shards):
        raise UsageError(f"the shards in {', '.join(datasets)} hold no samples")
    return shards


def find_weighted(datasets: Sequence[str]) -> tuple[list[Shard], list[float]]:
    """The shards of `datasets`, each a folder or URI or FOLDER=WEIGHT, and the weights of these.

    A dataset's weight says how often each of its samples is in an epoch; without one it is 1. A
    folder whose own name ends in "=" and a number has no weight. Raises `UsageError`.
    """
    shards, weights = [], []
    for dataset in datasets:
        folder, weight = _weighted(dataset)
        found = find_shards([folder])
        samples = sum(shard.samples for shard in found)
        if round(weight * samples) < 1:
            raise UsageError(f"--data {dataset}: that weight takes none of {samples} samples")
        shards += found
        weights += [weight] * len(found)
    return shards, weights


def _weighted(dataset: str) -> tuple[str, float]:
    match = _WEIGHTED.fullmatch(dataset)
    if match is None:
        return dataset, 1.0
    if not storage.is_dir(storage.local(dataset)):
        return match[1], float(match[2])
    if storage.is_dir(storage.local(match[1])):
        raise UsageError(
            f"--data {dataset}: there is a folder of that name, and {match[1]} too: write "
            f"{dataset}/ for the first, {match[1]}/={match[2]} for the second with a weight"
        )
    return dataset, 1.0


class ShardReader:
    """Random access to the samples of `shards`; remote ones are cached on disk, whole.

    Samples are numbered by their position in the tar, whether or not there is an index: any tars
    in webdataset's layout can be trained on.
    """

    def __init__(self, shards: Sequence[Shard], cache_gb: float, cache: str | None = None) -> None:
        self.shards = list(shards)
        self._cache = ShardCache(cache_gb, cache)
        self._located = lru_cache(_INDEXES_IN_MEMORY)(self._locate)

    def read(self, index: SampleIndex) -> Raw:
        """The sample at `index`; a text beside the image is its `caption`, if its JSON has none.

        Raises `UnreadableSample`; `FinehardError` if a shard is missing.
        """
        path, samples = self._located(index.shard)
        if index.sample >= len(samples):
            damage = f", damaged {samples.damage}" if samples.damage else ""
            reason = f"the shard has {len(samples)} samples{damage}"
            raise UnreadableSample(samples.uri, self.key(index), reason)
        if not os.path.exists(path):  # deleted from the cache since
            _, samples = self._locate(index.shard)
        sample = samples[index.sample]
        text = sample.text.strip()
        annotations = sample.json if sample.has_json or not text else {}
        if text and not annotations.get("caption"):
            annotations = {**annotations, "caption": text}
        return Raw(sample.key, sample.image_bytes, annotations)

    def key(self, index: SampleIndex) -> str:
        """The key of the sample at `index`, or "#" and its number if the shard ends before it."""
        _, samples = self._located(index.shard)
        return samples[index.sample].key if index.sample < len(samples) else f"#{index.sample}"

    def unlisted(self, shard: int) -> list[str]:
        """The keys of the samples that a shard holds beyond its number in sizes.json."""
        _, samples = self._located(shard)
        return [sample.key for sample in samples[self.shards[shard].samples :]]

    def _locate(self, number: int) -> tuple[str, ShardSamples]:
        uri = self.shards[number].uri
        try:
            path = self._cache.fetch(uri)
            return path, scan_shard(uri, path)
        except OSError as error:
            raise FinehardError(f"cannot read shard {uri}: {error}") from None
