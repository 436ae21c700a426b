"""Trains the bundled models from scratch: `python -m finehard.demo.train [vlm] [detector]`.

Seeded; writes finehard/demo/models/{vlm,detector}. Training scenes are rendered once and stored.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

MODELS = Path(__file__).parent / "models"
NAMES = ("vlm", "detector")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="vlm|detector", help="default: both")
    parser.add_argument("--output", type=Path, default=MODELS)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/demo-models"),
        help="folder for intermediate results, to resume from",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if unknown := set(args.models) - set(NAMES):
        parser.error(f"unknown model {sorted(unknown)[0]!r}; there are {', '.join(NAMES)}")
    names = args.models or NAMES
    if "vlm" in names:
        from finehard.demo.vlm.train import TrainConfig, train

        train(TrainConfig(threads=args.threads), args.output / "vlm", args.work)
    if "detector" in names:
        from finehard.demo.detector.train import DetectorTrainConfig, train_detector

        train_detector(
            args.output / "detector",
            DetectorTrainConfig(pictures=str(args.work / "pictures"), threads=args.threads),
        )


if __name__ == "__main__":
    main()
