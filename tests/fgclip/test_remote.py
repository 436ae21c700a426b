"""Datasets in S3: the real client against a server in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from finehard.dataset.reader import open_dataset
from finehard.dataset.shard_cache import ShardCache
from finehard.errors import FinehardError
from finehard.fgclip.reader import ShardReader, find_shards
from finehard.fgclip.sampler import SampleIndex, Sampler, Shard
from tests.dataset import finished

from . import made_shards

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The URI of a bucket with two datasets, and the folder that they were uploaded from.

    "set" has shards and sizes.json, "built/dataset" is a finished dataset.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    environment = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        folder = tmp_path_factory.mktemp("data")
        made_shards.write(folder / "set", 24, per_shard=8)
        finished.dataset(folder / "built")
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), "data", str(path.relative_to(folder)))
        yield "s3://data", folder
    finally:
        server.terminate()
        server.wait()
        os.environ.clear()
        os.environ |= environment


@pytest.mark.slow
def test_remote_shards_are_downloaded_once(bucket, tmp_path):
    uri, folder = bucket[0] + "/set", bucket[1] / "set"
    remote, local = find_shards([uri]), find_shards([str(folder)])
    assert [s.samples for s in remote] == [s.samples for s in local] == [8, 8, 8]
    places = Sampler(local, 1).indices(0, 0, 24)
    reader, beside = ShardReader(remote, 1.0, str(tmp_path)), ShardReader(local, 1.0)
    assert [reader.read(p) for p in places] == [beside.read(p) for p in places]
    tars = {path: path.stat().st_mtime_ns for path in Path(tmp_path).glob("*.tar")}
    assert len(tars) == 3
    again = ShardReader(remote, 1.0, str(tmp_path))
    assert again.read(places[0]) == beside.read(places[0])
    assert {p: p.stat().st_mtime_ns for p in Path(tmp_path).glob("*.tar")} == tars
    next(iter(tars)).unlink()  # made room for others: fetched again
    assert [reader.read(p) for p in places] == [beside.read(p) for p in places]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["set", "built/dataset"])
def test_a_remote_dataset_reads_as_a_local_one(bucket, name):
    remote, local = open_dataset(f"{bucket[0]}/{name}"), open_dataset(str(bucket[1] / name))
    expected = [(s.key, s.json, s.image_bytes) for s in local]
    assert len(remote) == len(local) == len(expected) > 10
    assert [(s.key, s.json, s.image_bytes) for s in remote] == expected
    assert list(remote.keys()) == [key for key, *_ in expected]
    assert [s.key for s in remote.shard(1)] == [s.key for s in local.shard(1)]
    key, annotations, image = expected[-1]
    assert (remote[key].json, remote[key].image_bytes) == (annotations, image)


@pytest.mark.slow
def test_the_cache_makes_room(bucket, tmp_path):
    shards = find_shards([bucket[0] + "/set"])
    size = (bucket[1] / "set/shards").iterdir().__next__().stat().st_size
    cache = ShardCache(2.5 * size / 1e9, str(tmp_path))
    first, second = cache.fetch(shards[0].uri), cache.fetch(shards[1].uri)
    os.utime(second, (0, 0))  # used least recently
    third = cache.fetch(shards[2].uri)
    assert [os.path.exists(path) for path in (first, second, third)] == [True, False, True]


@pytest.mark.slow
def test_a_missing_remote_shard_is_one_line(bucket, tmp_path):
    reader = ShardReader([Shard(f"{bucket[0]}/set/shards/no.tar", 3)], 1.0, str(tmp_path))
    with pytest.raises(FinehardError, match="no.tar") as caught:
        reader.read(SampleIndex(0, 0))
    assert "\n" not in str(caught.value)
