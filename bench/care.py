"""Time and memory of removing, publishing and comparing, on two sizes of a dataset.

Prints seconds for each step, seconds per million samples, and the peak memory of the process; the
dataset's images are small, so that what is measured is the work per sample. Exit code 1 where the
time per sample grows with the size.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from finehard.dataset.complete import Origin, complete, remove_side_files
from finehard.dataset.layout import ShardsConfig, shard_count, shard_of
from finehard.dataset.packed import pack
from finehard.dataset.pointers import Pointer
from finehard.dataset.writer import write_shard
from finehard.images import ImagesConfig, jpeg
from finehard.publish.about import About
from finehard.publish.publish import publish
from finehard.publish.remove import remove
from finehard.records import Bytes, HardNegative, Record, Region, sample_json
from finehard.report.compare import compare
from finehard.stages.provenance import Provenance

_REMOVED = 100
"""One sample in so many is removed."""
_GROWTH = 1.5
STAGES = {"caption": {"model": "m", "revision": None, "fingerprint": "f"}}


def make(folder: Path, samples: int) -> str:
    """Writes a finished dataset of `samples`, each with four regions of ten negatives."""
    output, picture = str(folder / "dataset"), folder / "picture.jpg"
    data = jpeg(Image.new("RGB", (96, 64), "red"), 85)
    picture.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    shards = ShardsConfig()
    count = shard_count(samples, shards)
    of_shard: list[list[str]] = [[] for _ in range(count)]
    for number in range(samples):
        key = f"{number:09d}"
        of_shard[shard_of(key, count)].append(key)
    summaries = []
    for index, keys in enumerate(of_shard):
        packed = folder / "packed.bin"
        pointers, offset = [], 0
        with packed.open("wb") as file:
            for key in keys:
                size = file.write(pack(item(Bytes(str(picture), 0, len(data)), key, sha256)))
                pointers.append(Pointer(key, key, Bytes(str(packed), offset, size)))
                offset += size
        summaries.append(write_shard(output, "run", index, count, pointers, shards, ImagesConfig()))
    origin = Origin(str(folder), {"images": {}}, Provenance(STAGES, ()))
    complete(output, "run", origin, summaries, samples)
    remove_side_files(output, "run")
    return output


def item(image: Bytes, key: str, sha256: str) -> dict[str, Any]:
    """Returns a finished sample whose image is at `image`."""
    colors = ("red", "blue", "green", "white", "black", "brown", "grey", "pink", "gold", "beige")
    negatives = tuple(HardNegative(f"a {c} cup", "color", "old", c, None) for c in colors)
    box = (0.1, 0.1, 0.5, 0.5)
    region = Region(box, 0.5, "cup", "an old cup", f"an old cup, number {key}", negatives)
    record = Record(
        key, f"{image.uri.rpartition('/')[0]}/in.tar#{key}.jpg", "u", image, sha256,
        url=f"https://example.org/{key}.jpg", format="jpg", width=96, height=64,
        short_caption="four cups", long_caption=f"Four old cups, {key}. " * 20,
        regions=(region,) * 4,
    )  # fmt: skip
    return {"sample": sample_json(record, STAGES), "image": list(record.image), "usage": {},
            "dropped": {}}  # fmt: skip


def steps(folder: Path, output: str, samples: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yields the name of each step, and what it does."""
    numbers = range(0, samples, _REMOVED)
    by_key, by_url = folder / "keys.txt", folder / "urls.txt"
    by_key.write_text("\n".join(f"{n:09d}" for n in numbers))
    by_url.write_text("\n".join(f"https://example.org/{n + 1:09d}.jpg" for n in numbers))
    copy = str(folder / "copy")
    about = About("cups", "cc-by-4.0")
    yield "publish (1 process)", lambda: publish(output, copy, about, workers=1)
    yield "remove 1 % by key", lambda: remove(output, str(by_key))
    yield "remove 1 % by URL", lambda: remove(output, str(by_url))
    yield "diff", lambda: compare(output, copy)


def measure(samples: int) -> dict[str, tuple[float, float]]:
    """Returns for each step its seconds and the process's peak memory so far, in MB."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        output = make(folder, samples)
        for step, run in steps(folder, output, samples):
            start = time.perf_counter()
            run()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            found[step] = (time.perf_counter() - start, peak)
    return found


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000, help="of the larger dataset")
    samples = parser.parse_args().samples
    sizes = (samples // 4, samples)
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # each with its own peak
        small, large = pool.map(measure, sizes, chunksize=1)
    print(f"{'step':22} {sizes[0]:>10,} {sizes[1]:>10,} {'s / million':>12} {'peak MB':>16}")
    growth = 0.0
    for step, (seconds, peak) in large.items():
        before, peak_before = small[step]
        growth = max(growth, seconds / before * sizes[0] / sizes[1])
        print(f"{step:22} {before:9.1f}s {seconds:9.1f}s {1e6 * seconds / sizes[1]:12,.0f} "
              f"{peak_before:7.0f} {peak:8.0f}")  # fmt: skip
    print(f"care: time per sample x {growth:.2f} at four times the size (goal <= {_GROWTH})")
    return int(growth > _GROWTH)


if __name__ == "__main__":
    sys.exit(main())
