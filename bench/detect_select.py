"""Time of `finehard.detect.select` for an image with 100 raw boxes.

    python -m bench.detect_select [--images N]

It runs for every image of every build, even if only thresholds change. Goal: a median under 1 ms in
the worst case of the table.
"""

import argparse
import random
import sys
import time

from finehard.detect import DetectConfig, Detection, select

GOAL_US = 1000.0
BOXES = 100
PHRASES = 12


def image(draw: random.Random, lowest: float) -> list[Detection]:
    """Returns 100 boxes in clusters, as from a detector; scores are at least `lowest`."""
    boxes = []
    for _ in range(BOXES // 10):
        x, y = draw.uniform(0, 0.6), draw.uniform(0, 0.6)
        wide, high = draw.uniform(0.05, 0.4), draw.uniform(0.05, 0.4)
        for _ in range(10):
            left, top = x + draw.gauss(0, 0.03), y + draw.gauss(0, 0.03)
            box = (max(left, 0.0), max(top, 0.0), max(left, 0.0) + wide, max(top, 0.0) + high)
            x1, y1, x2, y2 = (round(min(number, 1.0), 4) for number in box)
            score = round(lowest + (1 - lowest) * draw.random() ** 3, 4)
            boxes.append(Detection(draw.randrange(PHRASES), (x1, y1, x2, y2), score))
    return boxes


def microseconds(images: list[list[Detection]], config: DetectConfig) -> tuple[float, float, int]:
    """Returns the median and 99th percentile per image, and the number of selected boxes."""
    times = []
    selected = 0
    for raw in images:
        start = time.perf_counter()
        boxes, _ = select(raw, config, 1024, 768)
        times.append((time.perf_counter() - start) * 1e6)
        selected += len(boxes)
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)], selected


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3000)
    count = parser.parse_args().images
    draw = random.Random(0)
    few = [image(draw, 0.05) for _ in range(count)]
    all_strong = [image(draw, 0.4) for _ in range(count)]
    cases = [
        ("default config, scores from 0.05", few, DetectConfig()),
        ("all 100 boxes above the score", all_strong, DetectConfig()),
        (
            "all 100 above, no limit on boxes",
            all_strong,
            DetectConfig(max_boxes=100, max_boxes_per_phrase=100, min_area=0.0, max_area=1.0),
        ),
    ]
    print(f"{'case':<36}{'median us':>10}{'p99 us':>10}{'boxes/image':>12}")
    worst = 0.0
    for name, images, config in cases:
        median, p99, selected = microseconds(images, config)
        worst = max(worst, median)
        print(f"{name:<36}{median:>10.0f}{p99:>10.0f}{selected / len(images):>12.1f}")
    print(f"detect_select_us: {worst:.0f} (goal <= {GOAL_US:.0f})")
    return int(worst > GOAL_US)


if __name__ == "__main__":
    sys.exit(main())
