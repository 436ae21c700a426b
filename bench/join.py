"""Processes that join a build, each with a slow server of its own: how many times as fast?

The time is that from the first answer about an image, to any process, to the last answer of any
server: so it holds what is lost where processes start one after another, and at the end, where some
have no unit left and others do. What the servers take is asked before. Every build must end with
the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from bench.inputs import write_tars
from bench.kills import sums
from bench.measure import WORK, build_command, config, server, verdict
from finehard.dataset.layout import JOURNAL, MANIFEST

SLOTS, ANSWER_S = 8, "0.5"
GOALS = {2: 1.9, 4: 3.6}


class Joined(NamedTuple):
    """A build by several processes: seconds of asking, answers, and the files' SHA-256."""

    seconds: float
    answers: int
    files: dict[str, str]


def start(settings: Path, source: Path, output: Path) -> subprocess.Popen[str]:
    """Starts a process that joins."""
    command = [*build_command(settings, source, output), "--join"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def end(processes: list[subprocess.Popen[str]]) -> None:
    """Waits for the end of `processes`. Raises `SystemExit` if one fails."""
    for process in processes:
        printed, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"a process failed:\n{printed}")


def own_server(folder: Path, stack: contextlib.ExitStack) -> Path:
    """Starts a server that logs in `folder`, and returns a config with it."""
    folder.mkdir()
    times = ("--slots", str(SLOTS), "--least-s", ANSWER_S, "--most-s", ANSWER_S)
    url = stack.enter_context(server(*times, "--log", str(folder / "log")))
    model: dict[str, Any] = {"model": "simulated", "endpoints": [url], "window": SLOTS}
    return config(
        folder,
        url,
        models={"lmm": model, "llm": model},
        source={"unit_size": 4},
        shards={"samples_per_shard": 100},
    )


def build_joined(settings: list[Path], source: Path, output: Path, rehearsed: Path) -> Joined:
    """Builds `source` with a process for each of `settings`, whose servers are `rehearsed`."""
    (output / JOURNAL).mkdir(parents=True)
    shutil.copy(rehearsed, output / JOURNAL)
    logs = [one.parent / "log" for one in settings]
    for log in logs:
        log.write_text("")
    end([start(one, source, output) for one in settings])
    times = [float(line.split()[0]) for log in logs for line in log.read_text().splitlines()]
    return Joined(max(times) - min(times), len(times), sums(output))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600)
    args = parser.parse_args()
    folder, few, source = WORK / "join", WORK / "join-few", WORK / f"join-{args.images}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_tars(few, 1, 96, 64)
    write_tars(source, args.images, 96, 64)
    print(f"{args.images} images, a server of {SLOTS} slots and {ANSWER_S} s for each process")
    print(f"{'processes':>9} {'answers':>9} {'seconds':>8} {'speed':>7}")
    alone: Joined | None = None
    met = []
    with contextlib.ExitStack() as stack:
        settings = [own_server(folder / str(number), stack) for number in range(max(GOALS))]
        for one in settings:
            end([start(one, few, folder / "few")])
            (folder / "few" / MANIFEST).unlink()
        for processes in (1, *GOALS):
            rehearsed = folder / "few" / JOURNAL / "servers.json"
            output = folder / f"out-{processes}"
            joined = build_joined(settings[:processes], source, output, rehearsed)
            alone = alone or joined
            assert joined.files == alone.files, "other bytes"
            speed = alone.seconds / joined.seconds
            print(
                f"{processes:9} {joined.answers:9} {joined.seconds:8.1f} {speed:6.2f}x", flush=True
            )
            if processes in GOALS:
                met.append(verdict(f"JOINED_{processes}", speed, GOALS[processes], True, "x"))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
