"""During a build one of several endpoints dies, comes back, becomes ten times slower, and hangs.

Answers per second are counted at the servers in each phase, after a few seconds for traffic to
move, and compared with the capacity of the healthy endpoints. Goal: 90 % of it in every phase. The
simulated servers sleep for most of a request, so the machine's own speed matters little.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.inputs import write_tars
from bench.measure import WORK, build_command, config, control, server, stats, verdict
from finehard.lmm.client import Client
from finehard.lmm.config import ModelConfig
from finehard.lmm.question import Question
from finehard.schemas import reply_schema

ENDPOINTS = 4
PHASES: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("all well", {}, ENDPOINTS),
    ("one dead", {"faults": 1.0, "kinds": ["reset"]}, ENDPOINTS - 1),
    ("back again", {"faults": 0.0}, ENDPOINTS),
    ("one 10x slow", {"slower": 10.0}, ENDPOINTS - 0.9),
    ("one hangs", {"slower": 1.0, "faults": 1.0, "kinds": ["hang"]}, ENDPOINTS - 1),
)
"""Name, settings of the first endpoint, and capacity left, in endpoints."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--slots", type=int, default=4, help="of each endpoint")
    parser.add_argument("--request-s", type=float, default=0.5)
    parser.add_argument("--phase-s", type=float, default=20.0, help="measured in each phase")
    parser.add_argument("--settle-s", type=float, default=10.0, help="before each measurement")
    parser.add_argument("--client", action="store_true", help="the client alone, without a build")
    args = parser.parse_args()
    source, output = WORK / f"endpoints-{args.images}", WORK / "endpoints-out"
    write_tars(source, args.images, 96, 64)
    shutil.rmtree(output, ignore_errors=True)
    sleeps = ("--slots", str(args.slots), "--least-s", str(0.8 * args.request_s),
              "--most-s", str(1.2 * args.request_s))  # fmt: skip
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(server(*sleeps)) for _ in range(ENDPOINTS)]
        model = {
            "model": "simulated",
            "endpoints": urls,
            "window": args.slots,
            "timeout_s": 40 * args.request_s,
        }
        if args.client:
            stack.callback(_ask_on(model).set)
        settings = config(WORK / "endpoints-config", "", models={"lmm": model, "llm": model})
        build = None if args.client else _start(settings, source, output)
        if build:
            stack.callback(_end, build)
        while not any(stats(url)["requests"] for url in urls):
            time.sleep(0.2)
        rates = []
        for name, changes, capacity in PHASES:
            control(urls[0], changes)
            time.sleep(args.settle_s)
            before, start = [_answered(url) for url in urls], time.monotonic()
            time.sleep(args.phase_s)
            after, seconds = [_answered(url) for url in urls], time.monotonic() - start
            if build and build.poll() is not None:
                raise SystemExit("the build ended before the last phase: give more --images")
            each = [(b - a) / seconds for a, b in zip(before, after, strict=True)]
            rates.append(sum(each))
            if not rates[0]:
                raise SystemExit("no answer while all were well: the machine is too busy")
            share = sum(each) / rates[0] / (capacity / ENDPOINTS)
            print(
                f"{name:13} {sum(each):6.1f} answers/s ({', '.join(f'{r:.1f}' for r in each)}), "
                f"{share:.1%} of what is left",
                flush=True,
            )
    worst = min(
        rate / rates[0] / (capacity / ENDPOINTS)
        for rate, (_, _, capacity) in zip(rates, PHASES, strict=True)
    )
    slots = ENDPOINTS * args.slots / args.request_s
    print(f"all well: {rates[0] / slots:.1%} of the slots' {slots:.0f} answers/s")
    return 0 if verdict("capacity kept, worst phase", worst, 0.9, at_least=True) else 1


def _start(settings: Path, source: Path, output: Path) -> subprocess.Popen[bytes]:
    command = build_command(settings, source, output)
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _ask_on(model: dict[str, Any]) -> threading.Event:
    """Asks questions as a stage does, two per slot at a time, until the returned event is set."""
    client = Client(ModelConfig(**{**model, "endpoints": tuple(model["endpoints"])}))
    stop, in_flight = threading.Event(), threading.Semaphore(2 * client.window)

    def ask() -> None:
        for number in itertools.count():
            in_flight.acquire()
            if stop.is_set():
                return
            question = Question("caption", f"{number}", reply_schema("caption"), 9, (), f"{number}")
            client.submit(question).add_done_callback(lambda _: in_flight.release())

    threading.Thread(target=ask, daemon=True).start()
    return stop


def _answered(url: str) -> int:
    """Returns the number of questions that the server answered without a fault."""
    counts = stats(url)
    return counts["requests"] - sum(counts["faults"].values())


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
