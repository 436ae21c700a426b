"""What captions of very many images cost beside the models, by their number, and worked out for more.

Tiny JPEGs in tars as img2dataset writes them are captioned by `--pipeline recaption` with one
captioner; the simulated server answers at once. Each size is built, run again when finished, and
run again from its checkpoints. Rows are kept in a file: `--images 1000000` adds one, `--images`
without a number prints the table of all and the sheet for 1.6 billion images.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from apache_beam.coders import FastPrimitivesCoder

from bench.inputs import write_tars
from bench.measure import WORK, build_command, config, server, stats, verdict
from finehard.dataset.layout import CHECKPOINTS, JOURNAL, MANIFEST
from finehard.dataset.pointers import Pointer
from finehard.records import Bytes
from finehard.sources import SourceConfig, discover
from finehard.sources.identity import input_identity

FOLDER = WORK / "scale"
RESULTS = FOLDER / "results.jsonl"
PER_TAR = 10_000
TARGET = 1_600_000_000
PART = 16_000_000
"""Images of one build of the sheet: an input of `TARGET` images is built in parts."""
GOAL = 1.1
KINDS = {
    rf"{JOURNAL}/recaption-[^/]+/.*": "journal",
    rf"{JOURNAL}/{CHECKPOINTS}/.*\.records": "checkpoints: records",
    rf"{JOURNAL}/{CHECKPOINTS}/.*\.index": "checkpoints: index",
    r"shards/.*": "shards",
    r"(index|regions)\.parquet": "tables",
    r".*": "others",
}


@dataclass
class Step:
    """A run of the command: seconds, CPU seconds of all its processes, peak memory of one in GB."""

    wall_s: float
    cpu_s: float
    peak_gb: float


@dataclass
class Row:
    """What was measured at one size. `parts` are seconds; `files` and `bytes` are by kind."""

    images: int
    built: Step
    parts: dict[str, float]
    requests: int
    files: dict[str, int]
    bytes: dict[str, int]
    shuffled: int
    """Bytes an image that cross the shuffle, as Beam encodes them."""
    load: float
    """Of the machine, at the end."""
    again: Step | None = None
    through: Step | None = None
    machine: str = field(default_factory=lambda: f"{os.cpu_count()} cores, {platform.machine()}")


def run(command: list[str]) -> tuple[Step, float]:
    """Runs `command`; returns what it took, and the time when it began. Raises `SystemExit` where
    it fails."""
    began, log = time.time(), FOLDER / "stderr.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.time() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the build failed:\n{log.read_text()[-2000:]}")
    return Step(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9), began


def measure(images: int, resumed: bool) -> Row:
    """Builds `images` images, and runs the command again if they are to be `resumed`."""
    source, output = FOLDER / f"in-{images}", FOLDER / f"out-{images}"
    shutil.rmtree(output, ignore_errors=True)
    write_tars(source, images, 64, 48, 50, PER_TAR)
    with server("--slots", "256", "--least-s", "0", "--most-s", "0") as url:
        settings = config(
            FOLDER / str(images), url,
            recaption={"captioners": {"plain": {}}},
            source={"unit_size": 1024},
            shards={"samples_per_shard": 10_000},
        )  # fmt: skip
        command = [*build_command(settings, source, output), "--pipeline", "recaption"]
        built, began = run(command)
        row = Row(
            images, built, parts(output, began, began + built.wall_s), stats(url)["requests"],
            *kept(output), shuffled(output), os.getloadavg()[0],
        )  # fmt: skip
        if resumed:
            row.again, _ = run(command)
            (output / MANIFEST).unlink()
            row.through, _ = run(command)
    shutil.rmtree(output)
    shutil.rmtree(source)
    return row


def parts(output: Path, began: float, ended: float) -> dict[str, float]:
    """Returns the seconds of each part of a build, by the times of the files that it wrote."""
    journal = output / JOURNAL
    times = {
        "look at the input, start": (journal / "settings.json").stat().st_mtime,
        "ask, save": max(p.stat().st_mtime for p in (journal / CHECKPOINTS).rglob("*.index")),
        "write shards": max(p.stat().st_mtime for p in (output / "shards").iterdir()),
        "tables, manifest": (output / MANIFEST).stat().st_mtime,
        "report, end": ended,
    }
    befores = [began, *times.values()]
    return {name: at - before for before, (name, at) in zip(befores, times.items(), strict=False)}


def kept(output: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Returns the numbers of files of `output` and their bytes, by kind."""
    files, sizes = Counter[str](), Counter[str]()
    for folder, _, names in os.walk(output):
        for name in names:
            path = Path(folder, name)
            relative = str(path.relative_to(output))
            kind = next(kind for form, kind in KINDS.items() if re.fullmatch(form, relative))
            files[kind] += 1
            sizes[kind] += path.stat().st_size
    return dict(files), dict(sizes)


def shuffled(output: Path) -> int:
    """Returns the bytes of one image's place, as it crosses the shuffle."""
    records = next((output / JOURNAL / CHECKPOINTS).rglob("*.records"))
    source = f"{FOLDER}/in/00000.tar#000000000.jpg@123456"
    pointer = Pointer("000000000", source, Bytes(str(records), 123_456, 600))
    return len(FastPrimitivesCoder().encode((12, pointer)))


def surveyed(tars: int) -> tuple[float, float]:
    """Returns the milliseconds that it takes to look at a tar of the input, with its statistics,
    and the bytes of memory that it is known by: of `tars` with one image each."""
    import tracemalloc

    folder = FOLDER / "tars"
    shutil.rmtree(folder, ignore_errors=True)
    write_tars(folder, 1, 64, 48, 50)
    for number in range(1, tars):
        for name in ("00000.tar", "00000_stats.json"):
            os.link(folder / name, folder / name.replace("00000", f"{number:05d}"))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    files = discover(str(folder), SourceConfig())
    held = (tracemalloc.get_traced_memory()[0] - before) / tars
    tracemalloc.stop()
    assert len(files) == tars
    started = time.perf_counter()
    input_identity(discover(str(folder), SourceConfig()))
    ms = 1000 * (time.perf_counter() - started) / tars
    shutil.rmtree(folder)
    return ms, held


def rows() -> list[Row]:
    """Returns the rows kept, the last of each size, by size."""
    found: dict[int, Row] = {}
    for line in RESULTS.read_text().splitlines() if RESULTS.exists() else ():
        values = json.loads(line)
        steps = {n: Step(**values[n]) for n in ("built", "again", "through") if values[n]}
        found[values["images"]] = Row(**{**values, **steps})
    return sorted(found.values(), key=lambda row: row.images)


def table(measured: list[Row]) -> Iterator[str]:
    """Yields the lines of the table of what was measured."""
    yield f"{'images':>28} " + " ".join(f"{row.images:>12,}" for row in measured)

    def line(name: str, values: list[float | None], form: str = ",.2f") -> str:
        cells = (f"{'-':>12}" if v is None else f"{v:>12{form}}" for v in values)
        return f"{name:>28} " + " ".join(cells)

    yield line("wall s", [row.built.wall_s for row in measured], ",.0f")
    for name in measured[0].parts:
        yield line(f"{name} s", [row.parts[name] for row in measured], ",.1f")
    yield line("CPU ms an image", [1000 * row.built.cpu_s / row.images for row in measured])
    yield line("peak memory GB", [row.built.peak_gb for row in measured], ".3f")
    yield line("requests an image", [row.requests / row.images for row in measured], ".4f")
    yield line("bytes shuffled an image", [row.shuffled for row in measured], ".0f")
    for name in dict.fromkeys(KINDS.values()):
        files = [row.files.get(name, 0) for row in measured]
        yield line(f"{name}, files", [*files], ",.0f")
        sizes = [row.bytes.get(name, 0) / row.images for row in measured]
        yield line("bytes an image", [*sizes], ",.1f")
    for name, steps in (
        ("finished, again", [row.again for row in measured]),
        ("from checkpoints", [row.through for row in measured]),
    ):
        yield line(f"{name} s", [step and step.wall_s for step in steps], ",.1f")
        yield line(
            "CPU ms an image",
            [step and 1000 * step.cpu_s / row.images for step, row in zip(steps, measured)],
        )
    yield line("load at the end", [row.load for row in measured], ".1f")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, nargs="*", default=(10_000, 100_000))
    parser.add_argument("--no-resume", action="store_true", help="do not run again what is built")
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for images in args.images:
        row = measure(images, not args.no_resume)
        with RESULTS.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
    measured = rows()
    print(*table(measured), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
