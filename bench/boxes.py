"""A task of COCO's size: 5,000 images with 36,000 boxes of 80 classes, and a tiny model.

Each image is encoded once, however many boxes it has; peak memory does not grow with the number of
images but by their annotations; the images that a core manages in a second, without the model's
share, are compared with those of reading and decoding alone. Photographs of 800 x 600 pixels. Each
size is measured in a process of its own. CPU seconds are counted, so that other work on the machine
does not matter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from bench.measure import verdict
from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.items import Picture
from finehard.benchmarks.run import measure
from finehard.images import ANY_SIDE, load
from finehard.io import storage
from finehard.io.ordered_map import ordered_map

BOXES_PER_IMAGE = 7.2
GROWTH_GOAL = 0.15
SPEED_GOAL = 0.8
CLASSES, SIDE, WIDTH = 80, 32, 64


class Tiny:
    """Projects the mean colour of each box; counts what it is given."""

    name, batch = "tiny", 32

    def __init__(self) -> None:
        self.cut: dict[Any, int] = {}
        self.images = self.boxes = 0
        self.seconds = 0.0
        self._projection = np.random.default_rng(0).normal(size=(3, WIDTH))

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Is not needed for boxes."""
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str], kind: Any) -> NDArray[np.float32]:
        """Returns random features."""
        return _unit(np.random.default_rng(len(texts)).normal(size=(len(texts), WIDTH)))

    def encode_boxes(
        self, images: Sequence[Image.Image], boxes: Sequence[NDArray[Any]]
    ) -> list[NDArray[np.float32]]:
        """Returns the features of each image's boxes."""
        start = time.thread_time()
        self.images += len(images)
        self.boxes += sum(map(len, boxes))
        found = []
        for image, own in zip(images, boxes, strict=True):
            small = np.asarray(image.reduce(16).resize((SIDE, SIDE)), np.float64)
            corners = np.clip((own * SIDE).astype(int), 0, SIDE - 1)
            means = [small[y1 : y2 + 1, x1 : x2 + 1].mean((0, 1)) for x1, y1, x2, y2 in corners]
            found.append(_unit(np.stack(means) @ self._projection))
        self.seconds += time.thread_time() - start
        return found

    def spelled(self, texts: Sequence[str]) -> int:
        return 0

    def describe(self) -> dict[str, Any]:
        """Returns nothing of interest."""
        return {}


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(root: Path, images: int) -> int:
    """Writes the images and boxes in COCO's layout; returns the number of boxes."""
    from bench.loader import photograph  # imports torch, which the measured process does not need

    folder = root / "coco" / "val2017"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(32):
        (root / f"{number}.jpg").write_bytes(photograph(np.random.default_rng(number)))
    annotations = []
    for number in range(images):
        os.link(root / f"{number % 32}.jpg", folder / f"{number}.jpg")
        for _ in range(1 + rng.poisson(BOXES_PER_IMAGE - 1)):
            x, y = rng.random(2) * (500, 400)
            width, height = 20 + rng.random(2) * (280, 180)
            annotations.append({"image_id": number, "bbox": [x, y, width, height],
                                "category_id": int(rng.integers(CLASSES))})  # fmt: skip
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 800, "height": 600}
                   for n in range(images)],
        "annotations": annotations,
        "categories": [{"id": n, "name": f"class {n}"} for n in range(CLASSES)],
    }  # fmt: skip
    (root / "coco" / "instances_val2017.json").write_text(json.dumps(content))
    return len(annotations)


def _decode(picture: Picture) -> Image.Image:
    assert isinstance(picture.where, str)
    return load(storage.read_all(picture.where), ANY_SIDE)


def one(root: str, images: int) -> dict[str, float]:
    """Returns what is measured of the first `images` images below `root`."""
    folder = Path(root) / "coco" / "val2017"
    pictures = [Picture(f"{n}.jpg", str(folder / f"{n}.jpg")) for n in range(min(images, 1000))]
    loading = _seconds(lambda: sum(1 for _ in ordered_map(_decode, pictures)))
    model = Tiny()
    peak = _Peak()
    seconds = _seconds(lambda: measure(BENCHMARKS["coco_boxes"], model, root))
    return {
        "images": images, "boxes": model.boxes, "encoded": model.images,
        "model_ms": 1000 * model.seconds / images, "per_s": images / (seconds - model.seconds),
        "loader_per_s": len(pictures) / loading,
        "peak_gb": peak.stop() / 1e9,
    }  # fmt: skip


def _seconds(work: Callable[[], Any]) -> float:
    """Returns the CPU seconds of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


class _Peak:
    """The peak resident memory of this process until `stop`, in bytes."""

    def __init__(self) -> None:
        self._highest, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.02):
            self._highest = max(self._highest, process.memory_info().rss)

    def stop(self) -> int:
        """Returns the peak."""
        self._done.set()
        self._thread.join()
        return self._highest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, nargs=2, default=(1250, 5000))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.images[0])))
        return 0
    print("images/s are those of a core")
    print(
        f"{'images':>8}{'boxes':>8}{'encoded':>9}{'model ms':>10}{'images/s':>10}"
        f"{'loader/s':>10}{'peak GB':>9}"
    )
    rows = []
    for images in args.images:
        with tempfile.TemporaryDirectory() as root:
            boxes = write(Path(root), images)
            command = [sys.executable, "-m", "bench.boxes", "--one", root,
                       "--images", str(images), str(images)]  # fmt: skip
            row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        assert row["boxes"] == boxes
        rows.append(row)
        print(
            f"{row['images']:8d}{row['boxes']:8d}{row['encoded']:9d}{row['model_ms']:10.2f}"
            f"{row['per_s']:10.1f}{row['loader_per_s']:10.1f}{row['peak_gb']:9.3f}",
            flush=True,
        )
    last = rows[-1]
    met = verdict("ENCODED", max(row["encoded"] / row["images"] for row in rows), 1, False)
    met &= verdict("GROWTH", last["peak_gb"] / rows[0]["peak_gb"] - 1, GROWTH_GOAL, False)
    met &= verdict("SPEED", last["per_s"] / last["loader_per_s"], SPEED_GOAL, True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
