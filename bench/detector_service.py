"""Images a second of a served detector, and what sending an image costs.

    python -m bench.detector_service [--images N]

First a detector that sleeps as long as a GPU works (60 images a second, batches of 8): in the
process itself, and on one and two servers. Then the demo's own detector, on the CPU. Last what may
be sent: the file's bytes, or its pixels (as PNG, or bare, as PPM); the client's CPU includes making
them. Goal: two servers give 1.8 times the images of one.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import Image

from bench.inputs import write_tars
from bench.measure import WORK
from finehard.config import load_config
from finehard.detect import DetectConfig, Detection, detector_identity, load_detector
from finehard.detect.batches import Batches
from finehard.detect.remote import RemoteDetector
from finehard.images import ImagesConfig, decode

GOAL = 1.8
GPU = 60.0
"""Images a second."""
PHRASES = ["a red ball", "a small blue cube", "the table", "a lamp"]


class Sleeping:
    """Takes as long as a GPU, and finds nothing."""

    def detect(self, images: list[Image.Image], phrases: list[list[str]]) -> list[list[Detection]]:
        """See `finehard.detect.Detector.detect`."""
        time.sleep(len(images) / GPU)
        return [[] for _ in images]


def load(config: DetectConfig) -> Sleeping:
    """For `detect.backend: bench.detector_service:load`."""
    return Sleeping()


SLEEPING = ["detect.backend=bench.detector_service:load", "detect.batch_size=8"]
IMAGES = ImagesConfig()
Submit = Callable[[bytes], Future[list[Detection]]]


@contextmanager
def served(count: int, settings: list[str]) -> Iterator[tuple[str, ...]]:
    """Runs `count` servers of the demo's config with `settings`; yields their URLs."""
    command = [sys.executable, "-m", "finehard.cli", "serve-detector", "--config", "demo",
               "--port", "0"]  # fmt: skip
    command += [word for setting in settings for word in ("--set", setting)]
    with ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            processes.append(process)
        yield tuple(p.stdout.readline().split()[0] for p in processes if p.stdout)


def measured(submit: Submit, files: list[bytes], window: int) -> tuple[float, float]:
    """Returns images a second, and CPU milliseconds of this process an image."""
    started, cpu = time.monotonic(), time.process_time()
    flying: list[Future[list[Detection]]] = []
    for file in files:
        if len(flying) == window:
            flying.pop(0).result()
        flying.append(submit(file))
    for each in flying:
        each.result()
    wall_s = time.monotonic() - started
    return len(files) / wall_s, (time.process_time() - cpu) / len(files) * 1000


def remotely(
    settings: list[str],
    servers: int,
    files: list[bytes],
    encode: Callable[[bytes], bytes] = lambda file: file,
) -> tuple[float, float]:
    """As `measured`, on `servers` servers, of what `encode` makes of the files."""
    config = load_config("demo", settings).detect
    with served(servers, settings) as urls:
        made = replace(config, endpoints=urls)
        remote = RemoteDetector(made, IMAGES.max_side, detector_identity(config))
        with closing(remote):

            def submit(file: bytes) -> Future[list[Detection]]:
                return remote.submit(encode(file), PHRASES, str(hash(file)))

            return measured(submit, files, remote.window)


def locally(settings: list[str], files: list[bytes]) -> tuple[float, float]:
    """As `measured`, with the detector in this process, images decoded already."""
    config = load_config("demo", settings).detect
    with closing(Batches([load_detector(config)], config.batch_size)) as batches:
        pixels = {file: decode(file, IMAGES).pixels for file in files}
        return measured(
            lambda file: batches.submit(pixels[file], PHRASES), files, 4 * config.batch_size
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=600)
    count = parser.parse_args().images
    folder = WORK / f"detector{count}"
    write_tars(folder, count, 1024, 768, 60)
    files = _files(folder)
    few = files[: max(8, count // 10)]
    print(f"{count} images of 1024 x 768 px, load {os.getloadavg()[0]:.1f}")
    print(f"{'':38}{'images/s':>10}{'CPU ms/image':>14}")
    _row("60 images/s, in this process", locally(SLEEPING, files))
    one, two = remotely(SLEEPING, 1, files), remotely(SLEEPING, 2, files)
    _row("60 images/s, one server", one)
    _row("60 images/s, two servers", two)
    _row("demo's detector, in this process", locally([], few))
    _row("demo's detector, one server", remotely([], 1, few))
    _row("demo's detector, two servers", remotely([], 2, few))
    pixels = {file: decode(file, IMAGES).pixels for file in few}
    forms: dict[str, dict[str, int]] = {"JPEG": {}, "PNG": {"compress_level": 1}, "PPM": {}}
    for form, options in forms.items():

        def encode(file: bytes, form: str = form, options: dict[str, int] = options) -> bytes:
            return file if form == "JPEG" else _encoded(pixels[file], form, **options)

        size = sum(len(encode(file)) for file in few) / len(few) / 1000
        _row(f"sent as {form}, {size:,.0f} KB", remotely(SLEEPING, 1, few, encode))
    started = time.process_time()
    for file in few:
        decode(file, IMAGES)
    print(f"decoding: {(time.process_time() - started) / len(few) * 1000:.1f} ms of CPU")
    figure = two[0] / one[0]
    print(f"detector_service: {figure:.2f} times (goal {GOAL})")
    return 0 if figure >= GOAL else 1


def _row(title: str, figures: tuple[float, float]) -> None:
    print(f"{title:38}{figures[0]:10.1f}{figures[1]:14.2f}", flush=True)


def _files(folder: Path) -> list[bytes]:
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    opened = tar.extractfile(member)
                    assert opened is not None
                    found.append(opened.read())
    return found


def _encoded(pixels: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    pixels.save(out, form, **options)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
