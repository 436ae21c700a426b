"""Share of a model server's capacity that a whole build uses, and CPU time per request.

The simulated server has 64 slots and takes 200 ms, or 50 to 500 ms, per request. The share is the
time that slots were busy, divided by slots x the build's wall time, from the start of the command
to its end, shards included. For comparison, a bare asyncio client that has all requests ready uses
the same server: this is the upper bound. Other runners: `-- --runner=...`, as for a build.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time

from bench.inputs import write_tars
from bench.measure import WORK, add_beam_options, build, config, server, stats, verdict

SLOTS = 64
JSON = {"Content-Type": "application/json"}
CASES = {"200 ms": ("0.2", "0.2", 0.97), "50-500 ms": ("0.05", "0.5", 0.95)}


def bare_client(url: str, requests: int) -> float:
    """Returns the seconds in which a bare client makes `requests` requests like a caption's."""
    import aiohttp
    import orjson

    body = orjson.dumps(
        {
            "model": "simulated",
            "messages": [{"role": "user", "content": "x" * 12_000}],
            "response_format": {"json_schema": {"name": "caption", "schema": {}}},
        }
    )

    async def ask_all() -> None:
        remaining = iter(range(requests))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def ask_in_turn() -> None:
                for _ in remaining:
                    async with session.post(
                        f"{url}/chat/completions", data=body, headers=JSON
                    ) as r:
                        await r.read()

            await asyncio.gather(*(ask_in_turn() for _ in range(2 * SLOTS)))

    started = time.monotonic()
    asyncio.run(ask_all())
    return time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12000)
    add_beam_options(parser)
    args = parser.parse_args()
    source = WORK / f"tiny-{args.images}"
    write_tars(source, args.images, 96, 64)
    print(f"{args.images} images of 96 x 64 px, {SLOTS} slots")
    print(f"{'server':>10} {'':>12} {'requests':>9} {'wall s':>8} {'of capacity':>12} "
          f"{'CPU ms/request':>15}")  # fmt: skip
    met = []
    worst_cpu = 0.0
    shares = {}
    for name, (least, most, _) in CASES.items():
        times = ("--slots", str(SLOTS), "--least-s", least, "--most-s", most)
        with server(*times) as url:
            settings = config(WORK / "saturation", url)
            output = WORK / "saturation" / "out"
            shutil.rmtree(output, ignore_errors=True)
            run = build(settings, source, output, *args.beam)
            counted = stats(url)
        shares[name] = counted["busy_s"] / SLOTS / run.wall_s
        per_request = 1000 * run.cpu_s / counted["requests"]
        worst_cpu = max(worst_cpu, per_request)
        print(f"{name:>10} {'build':>12} {counted['requests']:9d} {run.wall_s:8.1f} "
              f"{shares[name]:12.1%} {per_request:15.2f}")  # fmt: skip
        with server(*times) as url:
            wall = bare_client(url, counted["requests"] // 8)
            share = stats(url)["busy_s"] / SLOTS / wall
        print(f"{name:>10} {'bare client':>12} {counted['requests'] // 8:9d} {wall:8.1f} "
              f"{share:12.1%}")  # fmt: skip
    met.append(verdict("CPU_PER_REQUEST", worst_cpu, 1.0, False, " ms"))
    for name, (_, _, goal) in CASES.items():
        met.append(verdict(f"SATURATION {name}", shares[name], goal, True))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
