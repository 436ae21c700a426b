"""Captions per second of `finehard.phrases` on one core.

    python -m bench.phrases [--captions N]

A caption is five sentences, drawn at random from the hand-written ones in tests/phrases. CPU time
is measured, so that other work on the machine does not matter. Goal: 2,000 per second.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

from finehard.phrases import PhrasesConfig, extractor

GOAL = 2000
GOLD = Path(__file__).parents[1] / "tests" / "phrases" / "gold_everyday.json"


def captions(count: int) -> list[str]:
    """Returns `count` captions of sentences drawn at random from the hand-written ones."""
    gold = json.loads(GOLD.read_text("utf-8"))
    sentences = [
        s.rstrip(".") + "."
        for item in gold["tuned_on"] + gold["held_out"]
        for s in item["caption"].split(". ")
    ]
    draw = random.Random(0)
    return [" ".join(draw.sample(sentences, 5)) for _ in range(count)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--captions", type=int, default=3000)
    texts = captions(arguments.parse_args().captions)
    extract = extractor(PhrasesConfig(backend="wordnet"))
    start = time.perf_counter()
    extract(texts[0])
    first = time.perf_counter() - start
    wall, cpu = time.perf_counter(), time.process_time()
    phrases = sum(len(extract(text).phrases) for text in texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    words = sum(len(text.split()) for text in texts) / len(texts)
    print("| captions | words each | phrases each | first caption | wall | CPU |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(texts)} | {words:.0f} | {phrases / len(texts):.1f} | {first * 1e3:.0f} ms |"
        f" {wall:.2f} s | {cpu:.2f} s |"
    )
    rate = len(texts) / cpu
    print(f"phrases: {rate:.0f} captions per CPU second (goal {GOAL})")
    sys.exit(0 if rate >= GOAL else 1)


if __name__ == "__main__":
    main()
