"""How much of a model server's capacity a whole build uses, and what a request costs in CPU.

The server is simulated: 64 slots, each request takes 200 ms, or 50 to 500 ms. What it can do is
its slots' time; a build's share of it is the time that slots were busy, over slots x the build's
wall time, from the command's start to its end, shards written. Beside it, the same server asked by
a bare asyncio client that has all requests ready: what is possible at all.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time

from bench.inputs import write_tars
from bench.measure import WORK, build, config, server, stats, verdict

SLOTS = 64
CASES = {"200 ms": ("0.2", "0.2", 0.97), "50-500 ms": ("0.05", "0.5", 0.95)}


def bare_client(url: str, requests: int) -> float:
    """Seconds that a client without a pipeline takes for `requests` requests like a caption."""
    import aiohttp
    import orjson

    body = orjson.dumps(
        {
            "model": "simulated",
            "messages": [{"role": "user", "content": "x" * 12_000}],
            "response_format": {"json_schema": {"name": "caption", "schema": {}}},
        }
    )

    async def ask() -> None:
        left = iter(range(requests))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one_after_another() -> None:
                for _ in left:
                    async with session.post(
                        f"{url}/chat/completions", data=body, headers=JSON
                    ) as r:
                        await r.read()

            await asyncio.gather(*(one_after_another() for _ in range(2 * SLOTS)))

    started = time.monotonic()
    asyncio.run(ask())
    return time.monotonic() - started


JSON = {"Content-Type": "application/json"}


def main() -> int:
    """Prints the table; 0 when all goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12000)
    chosen = parser.parse_args()
    source = WORK / f"tiny-{chosen.images}"
    write_tars(source, chosen.images, 96, 64)
    print(f"{chosen.images} images of 96 x 64 px, {SLOTS} slots")
    print(f"{'server':>10} {'':>12} {'requests':>9} {'wall s':>8} {'of capacity':>12} "
          f"{'CPU ms/request':>15}")  # fmt: skip
    met = []
    dearest = 0.0
    shares = {}
    for name, (least, most, _) in CASES.items():
        times = ("--slots", str(SLOTS), "--least-s", least, "--most-s", most)
        with server(*times) as url:
            settings = config(WORK / "saturation", url)
            output = WORK / "saturation" / "out"
            shutil.rmtree(output, ignore_errors=True)
            run = build(settings, source, output)
            counted = stats(url)
        shares[name] = counted["busy_s"] / SLOTS / run.wall_s
        per_request = 1000 * run.cpu_s / counted["requests"]
        dearest = max(dearest, per_request)
        print(f"{name:>10} {'build':>12} {counted['requests']:9d} {run.wall_s:8.1f} "
              f"{shares[name]:12.1%} {per_request:15.2f}")  # fmt: skip
        with server(*times) as url:
            wall = bare_client(url, counted["requests"] // 8)
            share = stats(url)["busy_s"] / SLOTS / wall
        print(f"{name:>10} {'bare client':>12} {counted['requests'] // 8:9d} {wall:8.1f} "
              f"{share:12.1%}")  # fmt: skip
    met.append(verdict("CPU_PER_REQUEST", dearest, 1.0, False, " ms"))
    for name, (_, _, goal) in CASES.items():
        met.append(verdict(f"SATURATION {name}", shares[name], goal, True))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
