"""Requests to an object store of a build of captions: an image, and a second of asking.

Input and output are on an emulated S3, whose log is counted. Journal, status and lease are written
by the second, however many images are asked about in it; the others are counted in builds of two
sizes: their difference is what the images take, the rest what a build takes.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError

from bench.inputs import write_tars
from bench.measure import WORK, build_command, config, server, stats, verdict

FOLDER = WORK / "store"
RESULT = FOLDER / "requests.json"
GOAL = 0.15
LASTING = r"/_journal/(recaption-.*|_status/.*|lease\.json)"
"""Objects that a build writes or reads again and again while it asks."""


class Requests(NamedTuple):
    """Requests an image and a second of asking, and by method."""

    an_image: float
    a_second: float
    methods: dict[str, float]


def count(few: int, many: int) -> Requests:
    """Counts the requests of builds of `few` and of `many` images."""
    (of_few, _, few_by), (of_many, a_second, many_by) = _counted(few), _counted(many)
    more = many - few
    methods = {name: (many_by[name] - few_by[name]) / more for name in many_by}
    return Requests((of_many - of_few) / more, a_second, methods)


def _counted(images: int) -> tuple[int, float, Counter[str]]:
    """Builds captions of `images` images from one folder of a bucket into another. Returns the
    number of requests that do not last, those a second that do, and the former by method."""
    log = FOLDER / "moto.log"
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_tars(FOLDER / "in", images, 64, 48, 50, per_tar=10_000)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with log.open("w") as written:
        command = [sys.executable, "-m", "moto.server", "-p", url.rpartition(":")[2]]
        store = subprocess.Popen(command, stdout=written, stderr=written)
    try:
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1",
            aws_access_key_id="me", aws_secret_access_key="secret",
        )  # fmt: skip
        _until_there(lambda: client.create_bucket(Bucket="things"))
        for path in (FOLDER / "in").glob("0*"):
            client.upload_file(str(path), "things", f"in/{path.name}")
        before = log.stat().st_size
        seconds = _build(url)
    finally:
        store.terminate()
        store.wait()
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text()[before:])
    asked = re.findall(r'"([A-Z]+) (/\S*) HTTP', text)
    others = [method for method, path in asked if not re.search(LASTING, path)]
    return len(others), (len(asked) - len(others)) / seconds, Counter(others)


def _until_there(ask: Callable[[], Any]) -> None:
    for _ in range(100):
        try:
            ask()
            return
        except (ClientError, EndpointConnectionError):
            time.sleep(0.3)
    raise SystemExit("the emulated S3 does not start")


def _build(url: str) -> float:
    """Builds `s3://things/in` into `s3://things/out`; returns the seconds of asking."""
    options = {
        "key": "me", "secret": "secret", "endpoint_url": url,
        "client_kwargs": {"region_name": "us-east-1"},
    }  # fmt: skip
    with server("--slots", "16", "--least-s", "0.2", "--most-s", "0.2") as endpoint:
        settings = config(
            FOLDER, endpoint,
            recaption={"captioners": {"plain": {}}},
            source={"unit_size": 1024},
            shards={"samples_per_shard": 10_000},
            storage={"s3": options},
        )  # fmt: skip
        places = {"IN": "s3://things/in", "OUT": "s3://things/out"}
        command = build_command(settings, Path("IN"), Path("OUT"))
        command = [*(places.get(word, word) for word in command), "--pipeline", "recaption"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the build failed:\n{done.stderr[-2000:]}")
        counted = stats(endpoint)
    return float(counted["last"] - counted["first"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, nargs=2, default=(1_000, 4_000))
    found = count(*parser.parse_args().images)
    RESULT.write_text(json.dumps(found._asdict()))
    by_method = ", ".join(f"{name} {number:.4f}" for name, number in found.methods.items())
    print(f"of an image: {by_method}; a second of asking: {found.a_second:.1f}")
    return 0 if verdict("REQUESTS_AN_IMAGE", found.an_image, GOAL, False) else 1


if __name__ == "__main__":
    sys.exit(main())
