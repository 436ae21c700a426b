"""Peak memory of a build by the size of its input, with which it must not grow.

2,000 and 20,000 images of about 100 KB; the simulated server answers at once, so that finehard, its
images, its journal and Beam's shuffle are measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.inputs import write_tars
from bench.measure import WORK, add_beam_options, build_command, config, server, verdict

GROWTH_GOAL = 0.15
PEAK_GOAL_GB = 1.5


def peak(settings: Path, source: Path, output: Path, *beam: str) -> tuple[float, float]:
    """Returns the peak resident memory of all processes of a build in GB, and its wall time."""
    command = build_command(settings, source, output, *beam)
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    highest = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            highest = max(highest, sum(member.memory_info().rss for member in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode())
    return highest / 1e9, time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs=2, default=(2000, 20000))
    add_beam_options(parser)
    args = parser.parse_args()
    print(f"{'images':>8} {'KB each':>8} {'wall s':>8} {'peak GB':>8}")
    peaks = []
    with server("--slots", "256", "--least-s", "0", "--most-s", "0") as url:
        for images in args.images:
            source = WORK / f"large-{images}"
            write_tars(source, images, 640, 480, 74)
            settings = config(WORK / "memory", url)
            output = WORK / "memory" / "out"
            shutil.rmtree(output, ignore_errors=True)
            size = sum(f.stat().st_size for f in source.glob("*.tar")) / images / 1000
            highest, wall = peak(settings, source, output, *args.beam)
            peaks.append(highest)
            print(f"{images:8d} {size:8.0f} {wall:8.1f} {highest:8.3f}", flush=True)
            shutil.rmtree(output)
    growth = peaks[1] / peaks[0] - 1
    met = verdict("PEAK_MEMORY", max(peaks), PEAK_GOAL_GB, False, " GB")
    met &= verdict("MEMORY_GROWTH", growth, GROWTH_GOAL, False)
    return 0 if met else 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    sys.exit(main())
