"""Shards in S3: the real client against a server in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from finehard.fgclip.order import Order
from finehard.fgclip.reader import ShardReader, find_shards

from . import made_shards

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The URI of a dataset in a bucket, and the folder that it was uploaded from."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    kept = dict(os.environ)
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
        folder = made_shards.write(tmp_path_factory.mktemp("data") / "set", 24, per_shard=8)
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), "data", f"set/{path.relative_to(folder)}")
        yield "s3://data/set", folder
    finally:
        server.terminate()
        server.wait()
        os.environ.clear()
        os.environ |= kept


@pytest.mark.slow
def test_remote_shards_are_fetched_once_and_read_as_local_ones(bucket, tmp_path):
    uri, folder = bucket
    remote, local = find_shards([uri]), find_shards([str(folder)])
    assert [s.samples for s in remote] == [s.samples for s in local] == [8, 8, 8]
    places = Order(local, 1).places(0, 0, 24)
    reader, beside = ShardReader(remote, 1.0, str(tmp_path)), ShardReader(local, 1.0)
    assert [reader.read(p) for p in places] == [beside.read(p) for p in places]
    tars = {path: path.stat().st_mtime_ns for path in Path(tmp_path).glob("*.tar")}
    assert len(tars) == 3
    again = ShardReader(remote, 1.0, str(tmp_path))
    assert again.read(places[0]) == beside.read(places[0])
    assert {p: p.stat().st_mtime_ns for p in Path(tmp_path).glob("*.tar")} == tars
    next(iter(tars)).unlink()  # made room for others: fetched again
    assert [reader.read(p) for p in places] == [beside.read(p) for p in places]
