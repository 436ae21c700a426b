"""Milliseconds to look a question up in the journal of a unit that nobody has begun.

A stage's journal has a part of each of `--units` units already.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import verdict
from finehard.records import Usage
from finehard.state.journal import Entry, Journal

GOAL_MS = 1.0
STAGE = "caption/0123"


def unit(number: int) -> str:
    """Returns the name of a unit, 16 hexadecimal digits as in a build."""
    return hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--units", type=int, default=50_000)
    parser.add_argument("--looked-up", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as output:
        journal = Journal(output)
        journal.put(STAGE, unit(0), "question", Entry("reply", Usage(1, 1, 1)))
        journal.flush()
        [part] = Path(output).rglob("part-*")
        for number in range(1, options.units):
            name = unit(number)
            folder = part.parent.with_name(name[:2])
            folder.mkdir(exist_ok=True)
            os.link(part, folder / part.name.replace(unit(0), name))
        new = [unit(options.units + number) for number in range(options.looked_up + 1)]
        journal.get(STAGE, new[0], "question")
        start, cpu = time.perf_counter(), time.process_time()
        for name in new[1:]:
            journal.get(STAGE, name, "question")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        journal.close()
    each = 1000 / options.looked_up
    print(f"{options.units} units: {seconds * each:.2f} ms, {cpu * each:.2f} ms of CPU a look-up")
    return not verdict("journal", seconds * each, GOAL_MS, at_least=False, unit=" ms")


if __name__ == "__main__":
    sys.exit(main())
