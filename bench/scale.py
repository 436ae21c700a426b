"""What captions of very many images cost beside the models, and worked out for 1.6 billion.

Tiny JPEGs in tars as img2dataset writes them are captioned by `--pipeline recaption` with one
captioner; the simulated server answers at once. Each size is built, run again when finished, and
run again from its checkpoints. What was measured is kept in a file: `--images 1000000` adds a size,
`--images` without a number prints the table and the sheet of what there is. The sheet's requests to
a store are those that `bench.store` counted.
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
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from apache_beam.coders import FastPrimitivesCoder

from bench import store
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
PART = 4_000_000
"""Images of one build in the sheet: the input is built in parts."""
PROCESSES = (8, 64, 512)
GPU_S = 8
"""Images that one process has captioned a second, in the sheet: about what an 8B model does on one
GPU by the prices in configs/recaption.yaml."""
GROWTH_GOAL = 1.1
MEMORY_GOAL = 1200.0
"""Bytes; what the shuffle of Beam's own runner takes."""
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
    """A run of the command: seconds, CPU seconds, peak memory in GB, and that before the manifest
    was written: the report after it needs 0.6 GB for its lexicon, whatever the size."""

    wall_s: float
    cpu_s: float
    peak_gb: float
    building_gb: float


@dataclass
class Row:
    """What was measured at one size: a build, the same command again, and once more without its
    manifest, from the checkpoints. `parts` are seconds; `files` and `bytes` are by kind."""

    images: int
    built: Step
    again: Step
    through: Step
    parts: dict[str, float]
    requests: int
    files: dict[str, int]
    bytes: dict[str, int]
    shuffled: int
    """Bytes of an image's place, as they cross the shuffle."""
    load: float
    """Of the machine, at the end of the build."""
    machine: str = field(default_factory=lambda: f"{os.cpu_count()} cores, {platform.machine()}")


def run(command: list[str], output: Path) -> tuple[Step, float]:
    """Runs `command`; returns what it took, and the time when it began. Raises `SystemExit` where
    it fails."""
    began, log = time.time(), FOLDER / "stderr.log"
    sizes: list[tuple[float, int]] = []
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        watched = psutil.Process(process.pid)
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            sizes.append((time.time(), watched.memory_info().rss))
            time.sleep(0.2)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.time() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the build failed:\n{log.read_text()[-2000:]}")
    written = (output / MANIFEST).stat().st_mtime
    building = max((size for at, size in sizes if at < written), default=0)
    return Step(
        wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9, building / 1e9
    ), began


def measure(images: int) -> Row:
    """Builds `images` images, runs the command again, and once more from its checkpoints."""
    source, output = FOLDER / f"in-{images}", FOLDER / f"out-{images}"
    shutil.rmtree(output, ignore_errors=True)
    write_tars(source, images, 64, 48, 50, PER_TAR)
    with server("--slots", "256", "--least-s", "0", "--most-s", "0") as url:
        settings = _settings(str(images), url)
        command = [*build_command(settings, source, output), "--pipeline", "recaption"]
        built, began = run(command, output)
        load, requests = os.getloadavg()[0], stats(url)["requests"]
        seconds = parts(output, began, began + built.wall_s)
        files, sizes = kept(output)
        again, _ = run(command, output)
        (output / MANIFEST).unlink()
        through, _ = run(command, output)
        place = shuffled(output)
    row = Row(images, built, again, through, seconds, requests, files, sizes, place, load)
    shutil.rmtree(output)
    shutil.rmtree(source)
    return row


def _settings(name: str, url: str, **sections: Any) -> Path:
    return config(
        FOLDER / name, url,
        recaption={"captioners": {"plain": {"show_alt_text": True}}},
        source={"unit_size": 1024},
        shards={"samples_per_shard": 10_000},
        **sections,
    )  # fmt: skip


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
    return len(FastPrimitivesCoder().encode((12, pointer.packed())))


def look_at_tars(tars: int) -> tuple[float, float]:
    """Returns what a tar of the input takes at each start: milliseconds of CPU, bytes of memory."""
    folder = FOLDER / "tars"
    shutil.rmtree(folder, ignore_errors=True)
    write_tars(folder, 1, 64, 48, 50)
    for number in range(1, tars):
        for name in ("00000.tar", "00000_stats.json"):
            os.link(folder / name, folder / name.replace("00000", f"{number:05d}"))
    tracemalloc.start()
    files = discover(str(folder), SourceConfig())
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(files) == tars
    started = time.process_time()
    input_identity(discover(str(folder), SourceConfig()))
    ms = 1000 * (time.process_time() - started) / tars
    shutil.rmtree(folder)
    return ms, held / tars


def rows() -> list[Row]:
    """Returns the rows kept, the last of each size, by size."""
    found: dict[int, Row] = {}
    for line in RESULTS.read_text().splitlines() if RESULTS.exists() else ():
        values = json.loads(line)
        steps = {name: Step(**values[name]) for name in ("built", "again", "through")}
        found[values["images"]] = Row(**{**values, **steps})
    return sorted(found.values(), key=lambda row: row.images)


def table(measured: list[Row]) -> Iterator[str]:
    """Yields the lines of the table of what was measured."""

    def line(name: str, values: Sequence[float], form: str = ",.2f") -> str:
        return f"{name:>32} " + " ".join(f"{value:>12{form}}" for value in values)

    yield line("images", [row.images for row in measured], ",")
    yield line("wall s", [row.built.wall_s for row in measured], ",.0f")
    for name in measured[0].parts:
        yield line(f"{name} s", [row.parts[name] for row in measured], ",.1f")
    yield line("CPU ms an image", [1000 * row.built.cpu_s / row.images for row in measured])
    yield line("peak memory GB", [row.built.peak_gb for row in measured], ".3f")
    yield line("until the manifest GB", [row.built.building_gb for row in measured], ".3f")
    yield line("requests an image", [row.requests / row.images for row in measured], ".4f")
    yield line("bytes shuffled an image", [row.shuffled for row in measured], ".0f")
    for kind in dict.fromkeys(KINDS.values()):
        yield line(f"{kind}: files", [row.files.get(kind, 0) for row in measured], ",.0f")
        yield line("bytes an image", [row.bytes.get(kind, 0) / row.images for row in measured])
    again, through = [row.again for row in measured], [row.through for row in measured]
    for title, steps in (("finished, run again", again), ("run from checkpoints", through)):
        yield line(f"{title} s", [step.wall_s for step in steps], ",.1f")
        of_all = zip(steps, measured, strict=True)
        yield line("CPU ms an image", [1000 * step.cpu_s / row.images for step, row in of_all])
    yield line("until the manifest GB", [step.building_gb for step in through], ".3f")
    yield line("load at the end", [row.load for row in measured], ".1f")


def sheet(small: Row, large: Row) -> Iterator[str]:
    """Yields the lines of what `TARGET` images take: the cost of an image is the difference of two
    sizes over the difference of their images, so that what a start costs is not in it."""

    def each(less: float, more: float) -> float:
        return (more - less) / (large.images - small.images)

    cpu_s = each(small.built.cpu_s, large.built.cpu_s)
    writing_s = each(small.through.cpu_s, large.through.cpu_s)
    last_h = writing_s * PART / 3600
    memory = each(small.through.building_gb, large.through.building_gb)
    builds, tars = TARGET // PART, TARGET // PER_TAR
    yield (
        f"{TARGET:,} images in {tars:,} tars, by {builds} builds of {PART:,}. Each figure is its "
        f"difference between {large.images:,} and {small.images:,} images, an image, times "
        "their number."
    )

    def line(name: str, text: str) -> str:
        return f"{name:>32} {text}"

    yield line("CPU hours", f"{cpu_s * TARGET / 3600:,.0f}")
    yield line("of these writing shards", f"{writing_s * TARGET / 3600:,.0f}")
    yield line("images a second and core", f"{1 / cpu_s:,.0f}")
    for processes in PROCESSES:
        hours = cpu_s * TARGET / processes / 3600 + last_h
        told = f"{hours:,.1f}, with {last_h:.1f} for the last build's writer, if models keep up"
        yield line(f"hours, {processes} joined processes", told)
    start_gb = large.through.building_gb - memory * large.images
    held, whole = (start_gb + memory * images for images in (PART, TARGET))
    yield line("memory of a writer", f"{held:,.1f} GB; of all images in one build {whole:,.0f} GB")
    for kind in dict.fromkeys(KINDS.values()):
        files = each(small.files.get(kind, 0), large.files.get(kind, 0)) * TARGET
        size = each(small.bytes.get(kind, 0), large.bytes.get(kind, 0)) * TARGET
        yield line(kind, f"{files:,.0f} files, {size / 1e12:.2f} TB")
    tar_ms, tar_bytes = look_at_tars(10_000)
    yield line(
        "a start, to look at the input",
        f"{tar_ms * tars / builds / 1000:,.1f} s of CPU, {tar_bytes * tars / builds / 1e6:,.1f} MB;"
        f" of all tars {tar_ms * tars / 1000:,.0f} s, {tar_bytes * tars / 1e6:,.0f} MB",
    )
    if not store.RESULT.exists():
        yield line("requests to a store", "not counted yet: python -m bench.store")
        return
    found = store.Requests(**json.loads(store.RESULT.read_text()))
    lasting = found.a_second * TARGET / GPU_S
    yield line(
        "requests to a store",
        f"{found.an_image * TARGET / 1e6:,.0f} million by the images and {lasting / 1e6:,.0f} "
        f"million by the seconds, at {GPU_S} images a second and process",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, nargs="*", default=(10_000, 100_000))
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for images in args.images:
        row = measure(images)
        with RESULTS.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
    measured = rows()
    print(*table(measured), sep="\n")
    small, large = measured[-2:]
    print(*sheet(small, large), sep="\n")
    ratio = (large.built.cpu_s / large.images) / (small.built.cpu_s / small.images)
    memory = large.built.building_gb - small.built.building_gb
    an_image = 1e9 * memory / (large.images - small.images)
    linear = verdict("CPU_PER_IMAGE", ratio, GROWTH_GOAL, False, " times")
    flat = verdict("MEMORY_PER_IMAGE", an_image, MEMORY_GOAL, False, " bytes")
    return 0 if linear and flat else 1


if __name__ == "__main__":
    sys.exit(main())
