"""The demo detector on unseen scenes: recall and precision after the build's box selection.

The detector gets the true phrase of each object and phrases that name no object. Held-out pairs of
color and kind are reported separately.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

from finehard.boxes import iou
from finehard.demo.render import render
from finehard.demo.texts import thing_phrase
from finehard.detect import DetectConfig, load_detector, select

GOALS = {"recall": 0.90, "precision": 0.90, "held_out_recall": 0.75}
SETTING = ["a wooden table", "a blue wall", "soft shadows", "the light", "the table"]


def measure(config: DetectConfig, scenes: int, seed: int) -> dict[str, float]:
    """Returns the metrics over `scenes` scenes of `seed`; a box must match its phrase's object."""
    detector = load_detector(config)
    recalled: dict[str, list[bool]] = {"all": [], "held_out": [], "tight": []}
    correct: list[bool] = []
    for index in range(scenes):
        image, scene = render(seed, index)
        phrases = [thing_phrase(t) for t in scene.things]
        raw = detector.detect([image], [phrases + SETTING])[0]
        selected = select(raw, config, image.width, image.height)[0]
        sides = (scene.width, scene.height) * 2
        boxes = [tuple(v / s for v, s in zip(t.box, sides, strict=True)) for t in scene.things]
        best = [0.0] * len(boxes)
        for box in selected:
            overlap = float(iou(box.box, boxes[box.phrase])) if box.phrase < len(boxes) else 0.0
            first = overlap >= 0.5 and best[box.phrase] < 0.5
            correct.append(first)
            if box.phrase < len(boxes):
                best[box.phrase] = max(best[box.phrase], overlap)
        for thing, overlap in zip(scene.things, best, strict=True):
            recalled["all"].append(overlap >= 0.5)
            recalled["tight"].append(overlap >= 0.75)
            if thing.held_out:
                recalled["held_out"].append(overlap >= 0.5)
    return {
        "recall": float(np.mean(recalled["all"])),
        "precision": float(np.mean(correct)) if correct else 0.0,
        "held_out_recall": float(np.mean(recalled["held_out"])),
        "recall_at_0.75": float(np.mean(recalled["tight"])),
        "objects": len(recalled["all"]),
        "held_out_objects": len(recalled["held_out"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="finehard/demo/models/detector")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--score", type=float, default=0.3)
    args = parser.parse_args()
    config = DetectConfig(backend="owlv2", model=args.model, score=args.score, threads=1)
    figures = measure(config, args.scenes, args.seed)
    print(json.dumps({k: round(v, 4) for k, v in figures.items()}, indent=1))
    missed = False
    for name, goal in GOALS.items():
        print(f"demo detector {name}: {figures[name]:.3f} (goal {goal})")
        missed |= figures[name] < goal
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
