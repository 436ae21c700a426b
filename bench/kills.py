"""Builds killed (SIGKILL) at random moments and run again: same bytes, no question asked twice.

Moments are drawn by the number of answers so far, so that they are spread alike on slow and fast
machines: before the first answer, among them, and after the last, while shards are written. Goal:
no build ends with other bytes or repeats a question answered before the last unflushed second.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.inputs import write_tars
from bench.measure import WORK, build_command, config, server, verdict
from finehard.state.journal import FLUSH_S

UNFLUSHED_S = FLUSH_S + 0.5
"""Seconds of answers that may be lost with a process: the flush interval and the write itself."""
_LAST_S = 2.0
"""Seconds after the last answer within which a build may still be killed."""


class Killed(NamedTuple):
    """The result of one kill.

    `answers`: the number until then; `again`: questions asked again although their answer should
    have been in the journal; `other`: files whose bytes differ from the undisturbed build's.
    """

    answers: int
    again: int
    other: list[str]


def kill_and_resume(
    settings: Path,
    source: Path,
    output: Path,
    log: Path,
    undisturbed: dict[str, str],
    moment: float,
    answers: int,
    *beam: str,
) -> Killed:
    """Kills a build into `output` at `moment` and runs it again.

    `moment` is from 0, the start, to 1, the end; `answers` is the number of answers of an
    undisturbed build, `log` the server's log. Raises `AssertionError` if the second run fails.
    """
    log.write_text("")
    process = _start(settings, source, output, *beam)
    target = int(moment * 1.1 * answers)
    while len(_lines(log)) < min(target, answers) and process.poll() is None:
        time.sleep(0.005)
    if target >= answers:
        time.sleep((moment * 11 - 10) * _LAST_S)
    elif target == 0:
        time.sleep(random.Random(moment).random())
    with contextlib.suppress(ProcessLookupError):  # it had ended
        os.killpg(process.pid, signal.SIGKILL)
    killed = time.time()
    process.communicate()
    time.sleep(0.3)  # for answers under way
    before = _lines(log)
    log.write_text("")
    resumed = _start(settings, source, output, *beam)
    printed, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, printed
    flushed = {question for answered, question in before if answered < killed - UNFLUSHED_S}
    again = flushed & {question for _, question in _lines(log)}
    actual = sums(output)
    other = [n for n in {**actual, **undisturbed} if actual.get(n) != undisturbed.get(n)]
    return Killed(len(before), len(again), sorted(other))


def undisturbed_build(
    settings: Path, source: Path, output: Path, log: Path
) -> tuple[dict[str, str], int]:
    """Builds to the end; returns the files' SHA-256 by name, and the number of answers."""
    log.write_text("")
    process = _start(settings, source, output)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return sums(output), len(_lines(log))


def sums(output: Path) -> dict[str, str]:
    """Returns the SHA-256 of every shard, reject file and the index of a dataset, by name."""
    files = [*output.glob("shards/*"), *output.glob("rejected/*"), output / "index.parquet"]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def _start(settings: Path, source: Path, output: Path, *beam: str) -> subprocess.Popen[str]:
    command = build_command(settings, source, output, *beam)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[1],
    )


def _lines(log: Path) -> list[tuple[float, str]]:
    """Returns (time of the answer, question) for each complete line of the log."""
    rows = (line.split() for line in log.read_text().splitlines())
    return [(float(row[0]), row[2]) for row in rows if len(row) == 3]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--balance", action="store_true", help="with negatives.balance")
    parser.add_argument("--workers", type=int, default=1, help="processes of a build")
    args = parser.parse_args()
    beam = [f"--direct_num_workers={args.workers}"] if args.workers > 1 else []
    folder = WORK / ("kills-balance" if args.balance else "kills")
    shutil.rmtree(folder, ignore_errors=True)
    write_tars(folder / "in", args.images, 96, 64)
    log = folder / "log"
    log.touch()
    chance = random.Random(args.seed)
    failures = 0
    with server("--log", str(log), "--least-s", "0.01", "--most-s", "0.05") as url:
        model: dict[str, Any] = {"model": "simulated", "endpoints": [url], "window": 16}
        settings = config(
            folder,
            url,
            models={"lmm": model, "llm": model},
            source={"unit_size": 8},
            shards={"samples_per_shard": 10},
            negatives={"balance": args.balance},
        )
        undisturbed, answers = undisturbed_build(
            settings, folder / "in", folder / "undisturbed", log
        )
        print(f"{answers} answers, {len(undisturbed)} files")
        for number in range(args.kills):
            moment, output = chance.random(), folder / f"killed-{number}"
            killed = kill_and_resume(
                settings, folder / "in", output, log, undisturbed, moment, answers, *beam
            )
            print(
                f"killed at {moment:.3f}, after {killed.answers:4} answers: {killed.again} asked "
                f"again, {len(killed.other)} files with other bytes {' '.join(killed.other[:3])}",
                flush=True,
            )
            failures += bool(killed.again or killed.other)
            if not killed.other:
                shutil.rmtree(output)
    return 0 if verdict("kills that showed", failures, 0, at_least=False) else 1


if __name__ == "__main__":
    sys.exit(main())
