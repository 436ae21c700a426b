"""Imports a synthetic release in two sizes: time and memory for each part of the work.

`python -m bench.release [ITEMS]`: 21 url2key files, both forms of f_path, 40 % of the images, one
process. The goal is that time beyond the start grows no faster than the items (1.3, for noise).
"""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

SUBSETS = 21
PER_LIST = 10_000
_COLORS = ("blue", "green", "white", "black", "gray", "pink", "brown", "purple", "yellow", "beige")
_GOAL = 1.3
_LONG = (
    "A red mug stands on a wooden table beside an open book and a lamp with a green shade. Behind "
    "the table is a white wall with a framed picture of a sailing boat. To the left, a gray cat "
    "sleeps on a chair whose seat is covered by a striped cushion."
)


def _place(number: int) -> tuple[int, int, int]:
    rest, subset = divmod(number, SUBSETS)
    return subset, rest // PER_LIST, rest % PER_LIST


def _item(number: int) -> dict[str, Any]:
    subset, listed, row = _place(number)
    folder = f"coyo_image_{subset}/{listed:05d}"
    path = f"data/down-grit-12m/{folder}/00000/00000{row:04d}.jpg"
    if number % 2:
        path = f"grit-20m/data-12m/{folder}/{listed:05d}{row:04d}.jpg"
    negatives = {f"neg_{n}": f"a {color} mug" for n, color in enumerate(_COLORS)}
    region = {
        "bbox": [0.1, 0.2, 0.5, 0.75],
        "short_expr": "a red mug",
        "long_expr": f"a red mug on table {number}",
        "flag_short_neg": 1,
        "short_expr_negs": negatives,
    }
    captions = {"caption": f"{_LONG} It is table {number}.", "short_caption": "A red mug."}
    return {**captions, "f_path": path, "bbox_info": [region] * 3}


def _url(number: int) -> str:
    return f"https://example.org/images/of/usual/length/{number}.jpg?width=640"


def _make(folder: Path, count: int) -> None:
    """Writes the release, and images of two in five items as img2dataset's tars."""
    (folder / "release/jsonfiles").mkdir(parents=True)
    (folder / "release/url2key_jsons").mkdir()
    (folder / "images").mkdir()
    for subset in range(SUBSETS):
        keys = {_url(n): "{1:05d}{2:04d}".format(*_place(n)) for n in range(subset, count, SUBSETS)}
        path = folder / f"release/url2key_jsons/url2key_coyo_image_{subset}.json"
        path.write_text(json.dumps(keys))
    for start in range(0, count, 100_000):
        some = [_item(n) for n in range(start, min(start + 100_000, count))]
        path = folder / f"release/jsonfiles/1716000000_results_{start}.json"
        path.write_text(json.dumps(some))
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "JPEG")
    wanted = iter([n for n in range(count) if n % 5 < 2])
    for shard in range(1 + count * 2 // 5 // PER_LIST):
        with tarfile.open(folder / f"images/{shard:05d}.tar", "w") as tar:
            for row, number in zip(range(PER_LIST), wanted, strict=False):
                for suffix, data in _members(out.getvalue(), number):
                    info = tarfile.TarInfo(f"{shard:05d}{row:04d}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def _members(image: bytes, number: int) -> Iterator[tuple[str, bytes]]:
    yield "jpg", image
    yield "json", json.dumps({"url": _url(number), "status": "success"}).encode()


def _run(folder: Path, queue: Any) -> None:
    from finehard.release.importing import import_release

    parts, started = [], time.monotonic()
    result = import_release(
        str(folder / "release"), str(folder / "images"), str(folder / "out"), workers=1,
        progress=lambda line: parts.append((line, time.monotonic() - started)),
    )  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    queue.put((time.monotonic() - started, peak, result.manifest["counts"], parts))


def _measure(count: int) -> float:
    """Imports `count` items in a process of their own; returns the seconds."""
    with tempfile.TemporaryDirectory() as name:
        _make(Path(name), count)
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=_run, args=(Path(name), queue))
        process.start()
        seconds, peak, counts, parts = queue.get()
        process.join()
    assert counts["read"] == count == counts["written"] + counts["rejected"]
    assert counts["written"] == len([n for n in range(count) if n % 5 < 2])
    print(f"{count:9,} items {counts['written']:9,} written {seconds:7.1f} s {peak:7.0f} MiB")
    for line, after in parts:
        if "files of items" not in line:
            print(f"          {after:7.1f} s  {line}")
    return float(seconds)


def main() -> int:
    """Prints the table; 1 where the goal is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    begun = _measure(SUBSETS)  # what each process needs to load its rules
    quarter, whole = (_measure(n) - begun for n in (count // 4, count))
    growth = whole / quarter / 4
    print(f"release growth of time: {growth:.2f} (goal {_GOAL})")
    return int(growth > _GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
