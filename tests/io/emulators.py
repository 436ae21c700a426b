"""Object stores on this machine: moto for S3, gcp-storage-emulator, and Azurite."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Azurite's own, which is public."""


class Emulator(NamedTuple):
    root: str
    """URI of an empty bucket."""
    options: dict[str, dict[str, Any]]
    """For `storage.configure`."""
    url: str


def start(scheme: str) -> contextlib.AbstractContextManager[Emulator]:
    """Runs the emulator for `scheme`; skips the test where it is not installed."""
    return {"s3": _s3, "gs": _gcs, "az": _azure}[scheme]()


@contextlib.contextmanager
def _s3() -> Iterator[Emulator]:
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto.server")
    port = _free_port()
    with _running([sys.executable, "-m", "moto.server", "-p", str(port)], port):
        url = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "me", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="things")
        options = {
            "key": "me", "secret": "secret", "endpoint_url": url,
            "client_kwargs": {"region_name": "us-east-1"},
        }  # fmt: skip
        yield Emulator("s3://things", {"s3": options}, url)


@contextlib.contextmanager
def _gcs() -> Iterator[Emulator]:
    pytest.importorskip("gcp_storage_emulator")
    pytest.importorskip("google.cloud.storage")
    port = _free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1",
               f"--port={port}", "--in-memory", "--default-bucket=things"]  # fmt: skip
    with _running(command, port):
        url = f"http://127.0.0.1:{port}"
        yield Emulator("gs://things", {"gs": {"token": "anon", "endpoint_url": url}}, url)


@contextlib.contextmanager
def _azure() -> Iterator[Emulator]:
    blob = pytest.importorskip("azure.storage.blob")
    cached = Path(tempfile.gettempdir()) / "azurite" / "node_modules" / ".bin"
    program = shutil.which("azurite-blob", path=f"{os.environ['PATH']}:{cached}")
    if program is None:
        pytest.skip("Azurite is not installed (npm install -g azurite)")
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--blobPort", str(port), "--location", folder, "--silent",
                   "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
        with _running(command, port):
            url = f"http://127.0.0.1:{port}/devstoreaccount1"
            connection = (
                "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
                f"AccountKey={AZURE_KEY};BlobEndpoint={url};"
            )
            service = blob.BlobServiceClient.from_connection_string(connection)
            service.create_container("things")
            yield Emulator("az://things", {"az": {"connection_string": connection}}, url)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            raise AssertionError("the emulator did not start")
        yield
    finally:
        process.kill()
        process.wait()
