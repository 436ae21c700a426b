"""Copies of remote shards on this machine."""

from __future__ import annotations

from pathlib import Path

from finehard.dataset.shard_cache import ShardCache
from finehard.io import storage


def test_a_shard_that_is_written_again_is_fetched_again(tmp_path: Path) -> None:
    uri = "memory://shard-cache/finehard-00000-of-00001.tar"
    cache = ShardCache(1.0, str(tmp_path))
    storage.write(uri, b"one")
    first = Path(cache.fetch(uri))
    assert first.read_bytes() == b"one"
    assert cache.fetch(uri) == str(first)
    storage.write(uri, b"two")  # of the same size
    assert Path(cache.fetch(uri)).read_bytes() == b"two"
