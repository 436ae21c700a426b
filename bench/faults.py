"""A soak: builds through a server of whose answers a share are faults of all kinds.

Prints throughput with and without them, and what was lost or answered twice. The goals: nothing
lost, nothing double, and at least half of the fault-free throughput at 20 % faults.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time

import pyarrow.parquet as pq

from bench.inputs import write_tars
from bench.measure import WORK, build, config, control, server, stats, verdict
from bench.server_faults import FAULTS
from finehard.dataset.validate import validate

IMAGES = 3000
KINDS = [name for name in FAULTS if name != "400"]  # a refusal is final: those would be rejects
SLEEPS = ("--slots", "32", "--least-s", "0.05", "--most-s", "0.15")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--images", type=int, default=IMAGES)
    chosen = parser.parse_args()
    source = WORK / f"faults-{chosen.images}"
    write_tars(source, chosen.images, 96, 64)
    model = {"model": "simulated", "window": 64, "timeout_s": 5.0, "attempts": 12}
    until = time.monotonic() + 60 * chosen.minutes
    well: list[float] = []
    ill: list[float] = []
    lost = double = rejected = met = 0
    with server(*SLEEPS) as url:
        settings = config(
            WORK / "faults-config",
            url,
            models={n: {**model, "endpoints": [url]} for n in ("lmm", "llm")},
        )
        while not ill or time.monotonic() < until:
            share = chosen.share if well else 0.0  # the first build meets none
            control(url, {"faults": share, "kinds": KINDS})
            output = WORK / "faults-out"
            shutil.rmtree(output, ignore_errors=True)
            took = build(settings, source, output).wall_s
            (ill if share else well).append(chosen.images / took)
            made = json.loads((output / "manifest.json").read_text())
            keys = pq.read_table(output / "index.parquet")["key"].to_pylist()
            for file in output.glob("rejected/*"):
                keys += pq.read_table(file)["key"].to_pylist()
            lost += chosen.images - len(set(keys))
            double += len(keys) - len(set(keys))
            rejected += made["counts"]["rejected"]
            problems = validate(str(output))
            if problems:
                print(f"not valid: {problems[0]}")
                return 1
            print(
                f"{share:4.0%} faults: {chosen.images / took:6.1f} images/s, "
                f"{made['counts']['rejected']} rejected {made['rejects'] or ''}",
                flush=True,
            )
        met = sum(stats(url)["faults"].values())
    ratio = sum(ill) / len(ill) / well[0]
    print(f"{len(ill)} builds, {met} faults met, {rejected} samples rejected, each with its reason")
    print(f"lost {lost}, double {double}")
    fast = verdict("throughput at faults / without", ratio, 0.5, at_least=True)
    return 0 if verdict("lost + double", lost + double, 0, at_least=False) and fast else 1


if __name__ == "__main__":
    sys.exit(main())
