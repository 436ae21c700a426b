"""Windows that follow latency, and endpoints that join and leave.

- shared: many clients, each as a process of its own would have one, on one server with few slots
  and a short timeout. The simulated server also does the work of requests that were given up, so
  what does not arrive in time is lost. Goal: 90 % of what its slots can do arrives.
- alone: one client whose window is twice a server's slots. The share counts from the first question
  on, so it includes the time until the window has grown.
- batched: one client on a server that takes longer the more it has in work, as engines that work
  in batches do. The share is of what it answers with the whole window in work.
- members: every half minute a quarter of the endpoints, listed in a file, is replaced: they break
  all connections, and are taken from the file, at the moment when others are written there. Goals:
  95 % of the capacity present is used, and no request is rejected.

The simulated servers sleep, so the machine's own speed matters little.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bench.measure import control, server, stats, verdict
from finehard.lmm.client import Client
from finehard.lmm.config import ModelConfig
from finehard.lmm.question import Question
from finehard.schemas import reply_schema


class Asking:
    """Clients that each ask questions as a stage does, two for each slot of their windows."""

    def __init__(self, clients: int, endpoints: list[str], window: int, timeout_s: float) -> None:
        self.outcomes: Counter[str] = Counter()
        self._numbers = itertools.count()
        self._ended = False
        config = ModelConfig(
            model="simulated", endpoints=tuple(endpoints), window=window, timeout_s=timeout_s
        )
        self.clients = [Client(config) for _ in range(clients)]
        for client in self.clients:
            for _ in range(2 * client.window):
                self._ask(client)

    def _ask(self, client: Client) -> None:
        number = f"{next(self._numbers)}"
        question = Question("caption", number, reply_schema("caption"), 9, (), number)

        def done(future: Future[Any]) -> None:
            self.outcomes["failed" if future.exception() else "answered"] += 1
            if not self._ended:
                self._ask(client)

        client.submit(question).add_done_callback(done)

    def stop(self) -> None:
        self._ended = True


def shared(args: argparse.Namespace) -> bool:
    """Many clients on few slots."""
    slots = 16
    times = ("--slots", str(slots), "--least-s", f"{0.8 * args.request_s}", "--most-s",
             f"{1.2 * args.request_s}")  # fmt: skip
    with server(*times) as url:
        asking = Asking(args.clients, [url], args.window, args.timeout_s)
        time.sleep(args.seconds)
        asking.stop()
        answered, made = asking.outcomes["answered"], stats(url)["requests"]
        retries = sum(t.retries for client in asking.clients for t in client.tally.values())
    could = slots * args.seconds / args.request_s
    print(f"{args.clients} clients x {args.window} on {slots} slots, {args.request_s:g} s a "
          f"request, timeout {args.timeout_s:g} s: {answered} answers arrived of {made} made and "
          f"{could:.0f} possible in {args.seconds:g} s, {retries} retries, "
          f"{asking.outcomes['failed']} rejected")  # fmt: skip
    return verdict("SHARED", answered / could, 0.9, at_least=True)


def alone(args: argparse.Namespace) -> bool:
    """One client on a server of its own."""
    slots, request_s = 64, 0.2
    with server("--slots", str(slots), "--least-s", "0.2", "--most-s", "0.2") as url:
        asking = Asking(1, [url], 2 * slots, 120.0)
        time.sleep(args.seconds)
        asking.stop()
        share = asking.outcomes["answered"] * request_s / slots / args.seconds
    print(f"1 client x {2 * slots} on {slots} slots, {request_s} s a request, {args.seconds:g} s")
    return verdict("ALONE", share, 0.9, at_least=True)


def batched(args: argparse.Namespace) -> bool:
    """One client on a server that works in batches."""
    window, each, least_s = 128, 0.05, 0.5
    times = ("--least-s", f"{least_s}", "--most-s", f"{least_s}", "--batched", f"{each}")
    with server("--slots", "1000", *times) as url:
        asking = Asking(1, [url], window, 120.0)
        time.sleep(args.seconds / 2)
        before, started = asking.outcomes["answered"], time.monotonic()
        time.sleep(args.seconds / 2)
        asking.stop()
        rate = (asking.outcomes["answered"] - before) / (time.monotonic() - started)
    most = window / (least_s * (1 + each * (window - 1)))
    print(f"1 client x {window}, {least_s} s a request and {each:.0%} more for each other in work: "
          f"{rate:.1f} answers/s of {most:.1f} with the whole window")  # fmt: skip
    return verdict("BATCHED", rate / most, 0.9, at_least=True)


def members(args: argparse.Namespace) -> bool:
    """Endpoints that join and leave."""
    count, slots, request_s, every_s, turns = 8, 4, 1.0, 30.0, 4
    times = ("--slots", str(slots), "--least-s", "0.8", "--most-s", "1.2")
    with contextlib.ExitStack() as stack:
        listed = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "endpoints"
        servers = [stack.enter_context(server(*times)) for _ in range(count)]
        spare = [stack.enter_context(server(*times)) for _ in range(count // 4 * turns)]
        listed.write_text("\n".join(servers) + "\n")
        asking = Asking(1, [f"file:{listed}"], slots, 20.0)
        time.sleep(10)
        before, started = asking.outcomes["answered"], time.monotonic()
        for _ in range(turns):
            gone, servers = servers[: count // 4], servers[count // 4 :]
            servers += [spare.pop() for _ in gone]
            listed.write_text("\n".join(servers) + "\n")
            for url in gone:
                control(url, {"faults": 1.0, "kinds": ["reset"]})
            time.sleep(every_s)
        rate = (asking.outcomes["answered"] - before) / (time.monotonic() - started)
        asking.stop()
        rejected = asking.outcomes["failed"]
    print(f"{count} endpoints of {slots} slots, {count // 4} replaced every {every_s:g} s, "
          f"{turns} times: {rate:.1f} answers/s")  # fmt: skip
    used = verdict("MEMBERS", rate * request_s / count / slots, 0.95, at_least=True)
    return verdict("REJECTED", rejected, 0, at_least=False) and used


CASES = {"shared": shared, "alone": alone, "batched": batched, "members": members}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--request-s", type=float, default=1.0)
    parser.add_argument("--timeout-s", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    return 0 if all([CASES[name](args) for name in args.cases]) else 1


if __name__ == "__main__":
    sys.exit(main())
