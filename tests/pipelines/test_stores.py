"""A build whose input and output lie in an object store, reached by Beam's options alone."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.world import Server, build, config, images

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server")
pytestmark = pytest.mark.slow
KEYS = {"aws_access_key_id": "me", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The URL of an S3 server with a bucket "things"; no credentials in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port}"
        boto3.client("s3", endpoint_url=url, **KEYS).create_bucket(Bucket="things")
        yield url
    finally:
        process.kill()
        process.wait()


def sums(client: Any, prefix: str) -> dict[str, str]:
    sums = {}
    for entry in client.list_objects_v2(Bucket="things", Prefix=prefix)["Contents"]:
        name = entry["Key"].removeprefix(prefix)
        if name.startswith(("shards/", "rejected/")):
            data = client.get_object(Bucket="things", Key=entry["Key"])["Body"].read()
            sums[name] = hashlib.sha256(data).hexdigest()
    return sums


@pytest.mark.full
def test_a_store_is_input_and_output_for_one_and_two_processes(
    tmp_path: Path, server: Server, store: str
) -> None:
    client = boto3.client("s3", endpoint_url=store, **KEYS)
    settings = config(tmp_path, server.url)
    for path in images(tmp_path / "in", 30).iterdir():
        client.upload_file(str(path), "things", f"in/{path.name}")
    options = (
        f"--s3_endpoint_url={store}", "--s3_access_key_id=me", "--s3_secret_access_key=secret",
        "--s3_region_name=us-east-1",
    )  # fmt: skip
    for name, more in (("one", ()), ("two", ("--direct_num_workers=2",))):
        done = build(settings, "s3://things/in", f"s3://things/{name}", *options, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "30 read = 30 written + 0 rejected" in done.stdout
        assert "Traceback" not in done.stderr and "secret" not in done.stdout + done.stderr
    one = sums(client, "one/")
    assert len(one) == 3 and one == sums(client, "two/")
    again = build(settings, "s3://things/in", "s3://things/one", *options)
    assert "0 requests" in again.stdout, again.stdout + again.stderr
    for command in ("validate", "stats"):  # without Beam's options: the environment tells
        environment = {
            **os.environ, "AWS_ENDPOINT_URL": store, "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        arguments = [sys.executable, "-m", "finehard.cli", command, "s3://things/one"]
        read = subprocess.run(arguments, env=environment, capture_output=True, text=True)
        assert read.returncode == 0, read.stdout + read.stderr


def test_loose_images_in_a_store_are_read_with_their_texts(
    tmp_path: Path, server: Server, store: str
) -> None:
    client = boto3.client("s3", endpoint_url=store, **KEYS)
    for path in images(tmp_path / "in", 20).glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member)
                assert data is not None
                client.put_object(Bucket="things", Key=f"in/a b/{member.name}", Body=data.read())
    options = [f"--s3_endpoint_url={store}", "--s3_access_key_id=me",
               "--s3_secret_access_key=secret", "--s3_region_name=us-east-1"]  # fmt: skip
    done = build(config(tmp_path, server.url), "s3://things/in", tmp_path / "out", *options)
    assert "20 read = 20 written + 0 rejected" in done.stdout, done.stdout + done.stderr
