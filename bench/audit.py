"""Audit and balanced selection on synthetic texts: time and peak memory by number of regions.

Each size runs in its own process; the texts are generated as they are read.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from bench.measure import verdict
from finehard.audit import audit
from finehard.audit.item import of_samples
from finehard.negatives.balance import Sampler, balanced, merged

PEAK_GOAL_GB = 2.0
LINEAR_GOAL = 1.3
REGIONS = 4
WORDS = [f"{a}{b}" for a in ("ba", "do", "ki", "lu", "me", "po", "ra", "su") for b in "nrstvxz"]
KINDS = [f"{word}o" for word in WORDS]


def samples(regions: int) -> Iterator[dict[str, Any]]:
    """Yields samples of four regions with 12 negatives each; the same in every call."""
    chance = random.Random(0)
    odds = [1 / (n + 8) for n in range(len(WORDS))]
    for number in range(regions // REGIONS):
        entries = []
        truths = chance.choices(WORDS, odds, k=REGIONS)
        for truth in truths:
            rest = f"{chance.choice(KINDS)} with a {chance.choice(WORDS)} {chance.choice(KINDS)}"
            others = [word for word in chance.sample(WORDS, 13) if word != truth][:12]
            negatives = [
                {"text": f"a {word} {rest}", "attribute": "color", "original": truth,
                 "replacement": word} for word in others
            ]  # fmt: skip
            entries.append({"short_expr": f"a {truth} {rest}", "hard_negatives": negatives})
        yield {"key": str(number), "image": {"sha256": str(number)}, "regions": entries}


def one(regions: int) -> None:
    """Measures one size and prints its row."""
    started = time.process_time()
    for _ in samples(regions):
        pass
    making = time.process_time() - started
    sampler = Sampler()
    started = time.process_time()
    drawn = merged(sampler.draw(sample) for sample in samples(regions))
    drawing = time.process_time() - started - making
    started = time.process_time()
    balance = balanced(drawn, 10, 0.15)
    fitting = time.process_time() - started
    started = time.process_time()
    total_negatives = selected = 0
    for sample in samples(regions):
        chosen, _ = balance.choose(sample)
        total_negatives += 12 * REGIONS
        selected += sum(len(region["hard_negatives"]) for region in chosen["regions"])
    choosing = time.process_time() - started - making
    started = time.process_time()
    result = audit(lambda: of_samples(balance.choose(s)[0] for s in samples(regions)))
    auditing = time.process_time() - started - 2 * (making + choosing)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(regions, selected / total_negatives, result["accuracy"], result["chance"], drawing,
          fitting, choosing, auditing, peak)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one)
        return 0
    print(f"{'regions':>9} {'kept':>6} {'accuracy':>9} {'chance':>7} {'draw s':>8} "
          f"{'fit s':>8} {'choose s':>9} {'audit s':>8} {'peak GB':>8}")  # fmt: skip
    seconds, peaks = [], []
    for regions in args.regions:
        command = [sys.executable, "-m", "bench.audit", "--one", str(regions)]
        row = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        selected, accuracy, chance, *times, peak = map(float, row[1:])
        seconds.append((sum(times) - times[1]) / regions)  # fitting does not grow
        peaks.append(peak)
        print(f"{regions:9d} {selected:6.3f} {accuracy:9.3f} {chance:7.3f} {times[0]:8.1f} "
              f"{times[1]:8.1f} {times[2]:9.1f} {times[3]:8.1f} {peak:8.3f}",
              flush=True)  # fmt: skip
    met = verdict("AUDIT_PEAK", max(peaks), PEAK_GOAL_GB, False, " GB")
    met &= verdict("AUDIT_LINEAR", seconds[-1] / seconds[0], LINEAR_GOAL, False)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
