"""A soak test: builds with a server that answers a share of requests with faults of all kinds.

Prints the throughput with and without faults, and the numbers of lost and duplicate samples. Goals:
none lost, none duplicate, and at least half of the fault-free throughput at 20 % faults.
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
KINDS = [name for name in FAULTS if name != "400"]  # final: its sample would be rejected
SLEEPS = ("--slots", "32", "--least-s", "0.05", "--most-s", "0.15")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--images", type=int, default=IMAGES)
    args = parser.parse_args()
    source = WORK / f"faults-{args.images}"
    write_tars(source, args.images, 96, 64)
    model = {"model": "simulated", "window": 64, "timeout_s": 5.0, "attempts": 12}
    deadline = time.monotonic() + 60 * args.minutes
    fault_free: list[float] = []
    faulty: list[float] = []
    lost = duplicate = rejected = 0
    with server(*SLEEPS) as url:
        settings = config(
            WORK / "faults-config",
            url,
            models={n: {**model, "endpoints": [url]} for n in ("lmm", "llm")},
        )
        while not faulty or time.monotonic() < deadline:
            share = args.share if fault_free else 0.0  # none in the first build
            control(url, {"faults": share, "kinds": KINDS})
            output = WORK / "faults-out"
            shutil.rmtree(output, ignore_errors=True)
            seconds = build(settings, source, output).wall_s
            (faulty if share else fault_free).append(args.images / seconds)
            manifest = json.loads((output / "manifest.json").read_text())
            keys = pq.read_table(output / "index.parquet")["key"].to_pylist()
            for file in output.glob("rejected/*"):
                keys += pq.read_table(file)["key"].to_pylist()
            lost += args.images - len(set(keys))
            duplicate += len(keys) - len(set(keys))
            rejected += manifest["counts"]["rejected"]
            problems = validate(str(output))
            if problems:
                print(f"not valid: {problems[0]}")
                return 1
            print(
                f"{share:4.0%} faults: {args.images / seconds:6.1f} images/s, "
                f"{manifest['counts']['rejected']} rejected {manifest['rejects'] or ''}",
                flush=True,
            )
        faults = sum(stats(url)["faults"].values())
    ratio = sum(faulty) / len(faulty) / fault_free[0]
    print(f"{len(faulty)} builds, {faults} faults, {rejected} samples rejected with a reason")
    print(f"lost {lost}, duplicate {duplicate}")
    fast = verdict("throughput at faults / without", ratio, 0.5, at_least=True)
    return 0 if verdict("lost + duplicate", lost + duplicate, 0, at_least=False) and fast else 1


if __name__ == "__main__":
    sys.exit(main())
