"""Shared by the benches: a simulated server, a build in its own process, the last line."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

WORK = Path(os.environ.get("BENCH_DIR", Path(tempfile.gettempdir()) / "finehard-bench"))
"""Folder for the inputs and datasets of benches."""


class Run(NamedTuple):
    """A finished build: its times, and the peak resident memory of any of its processes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str


@contextmanager
def server(*arguments: str, program: str = "bench.simulated_server") -> Iterator[str]:
    """Runs a simulated server in its own process; yields its base URL."""
    command = [sys.executable, "-m", program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def stats(url: str) -> dict[str, Any]:
    """Returns the counts of the simulated server at `url`."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=10) as response:
        return json.load(response)


def config(folder: Path, url: str, **sections: Any) -> Path:
    """Writes a config for a build with the simulated server at `url`; returns its path."""
    model = {"model": "simulated", "endpoints": [url], "window": 128}
    values = {
        "models": {"lmm": model, "llm": model},
        "detect": {"backend": "bench.fixed_detector:load"},
        **sections,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML
    return path


def control(url: str, changes: dict[str, Any]) -> None:
    """Changes the faults and the speed of the simulated server at `url` while it runs."""
    request = urllib.request.Request(
        url.removesuffix("/v1") + "/control", json.dumps(changes).encode()
    )
    urllib.request.urlopen(request, timeout=10).close()


def build_command(settings: Path, source: Path, output: Path, *beam: str) -> list[str]:
    """Returns the command line of a build, with options for Beam."""
    command = [sys.executable, "-m", "finehard.cli", "build", "--config", str(settings),
               "--input", str(source), "--output", str(output)]  # fmt: skip
    return [*command, "--", *beam] if beam else command


def add_beam_options(parser: argparse.ArgumentParser) -> None:
    """Adds the argument `beam`: options for Beam, after `--`."""
    parser.add_argument("beam", nargs="*", metavar="-- BEAM_OPTION", help="as for a build")


def build(settings: Path, source: Path, output: Path, *beam: str) -> Run:
    """Runs `finehard build` and measures it. Raises `SystemExit` if it fails."""
    command = build_command(settings, source, output, *beam)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    printed, _ = process.communicate()
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"the build failed:\n{printed}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, after.ru_maxrss * 1024, printed)


def verdict(name: str, figure: float, goal: float, at_least: bool, unit: str = "") -> bool:
    """Prints a figure with its goal; returns whether the goal is met."""
    sign = ">=" if at_least else "<="
    print(f"{name}: {figure:.4g}{unit} (goal {sign} {goal:g}{unit})")
    return figure >= goal if at_least else figure <= goal
