"""What the care of the data is worth, to the model that is trained on it.

The same rendered scenes become four datasets. Captioner, detector, writer of negatives and
verification are simulated over HTTP: they know the truth, and are wrong as often as `rates.py`
says.

published   `finehard build` by the published recipe's choices: no verification, no rules for swaps,
            no balance; trained on the first four boxes
ours        `finehard build` with rules, verification of regions and negatives, correction, balance;
            random boxes
captions    the same, and statements of captions that verification calls false are cut out
truth       the renderer's texts and boxes, and ten valid negatives a region; random boxes

All are trained from scratch for as many steps, and measured on unseen scenes by the benchmark
command. What is finished stays in `--folder`, and the same command goes on. Changed rates or sizes
need another folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.benchmarks_demo import measure, write_suite
from bench.demo_training import write_scenes as write_truth
from bench.measure import WORK, build, config, server, verdict
from bench.recipes.half_truths import write_half_truths
from bench.recipes.quality import FIGURES, quality
from bench.recipes.world import World, write_world
from finehard.demo.scenes import ScenesConfig, write_scenes
from finehard.fgclip.config import load_train_config
from finehard.fgclip.train import STOPPED, train

SEED = 1
BENCHMARKS = (
    *(f"bench.benchmarks_demo:{name}" for name in ("short", "long", "boxes", "fine")),
    "bench.recipes.half_truths:half",
)
COLUMNS = {
    "long caption": ("demo_long", "image_to_text_r@1"),
    "short caption": ("demo_short", "image_to_text_r@1"),
    "region top-1": ("demo_boxes", "top1"),
    "hard top-1": ("demo_fine", "top1"),
    "half truths": ("demo_half_truths", "image_to_text"),
}


class Recipe(NamedTuple):
    """How a dataset is made, if it is built, and which boxes of an image are trained on."""

    choose: str
    sections: dict[str, Any] | None = None
    options: tuple[str, ...] = ()


_OURS: dict[str, dict[str, Any]] = {
    "negatives": {"prompt": "negatives.v2", "balance": True},
    "verify": {"prompt": "verify.v3", "policy": "correct"},
}
RECIPES = {
    "published": Recipe(
        "first",
        {"negatives": {"prompt": "negatives.v2"}, "verify": {"policy": "skip"}},
        ("--pipeline", str(Path(__file__).with_name("published.py"))),
    ),
    "ours": Recipe("random", _OURS),
    "captions": Recipe("random", {**_OURS, "verify": {**_OURS["verify"], "captions": "drop"}}),
    "truth": Recipe("random"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=6_000)
    parser.add_argument("--unseen", type=int, default=500)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=WORK / "recipes", help="to resume from")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    world = make_data(args.folder, args.scenes)
    write_suite(args.folder / "suite", args.unseen)
    write_half_truths(args.folder / "suite" / "demo", args.unseen)
    print_quality(args.folder, world)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in RECIPES}
    for seed in range(args.seeds):  # so that the first seed of all comes first
        for name in RECIPES:
            figures[name].append(measured(args.folder, name, seed, args.steps))
    return 0 if print_figures(figures) else 1


def make_data(folder: Path, count: int) -> World:
    """Renders the scenes and makes the datasets of them, unless they are there."""
    scenes, known = folder / "scenes", folder / "world.json"
    if not (scenes / "truth.jsonl").exists():
        write_scenes(scenes, ScenesConfig(count, SEED, per_shard=1000, held_out=False))
    if not known.exists():
        write_world(known, scenes)
    write_truth(folder / "truth", count, SEED, False, 1)
    for name, recipe in RECIPES.items():
        if recipe.sections is None or (folder / name / "manifest.json").exists():
            continue
        least = ("--least-s", "0", "--most-s", "0", "--world", str(known))
        with server(*least, program="bench.recipes.server") as url:
            settings = config(
                folder / f"{name}-config",
                url,
                caption={"long_words": 60},
                phrases={"backend": "wordnet"},
                detect={"backend": "bench.recipes.detector:load", "model": str(known)},
                **recipe.sections,
            )
            run = build(settings, scenes, folder / name, *recipe.options)
        print(f"{name}: built in {run.wall_s:.0f} s, {run.cpu_s:.0f} s of CPU", flush=True)
    return World(known)


def print_quality(folder: Path, world: World) -> None:
    """Prints how true the datasets are that were built."""
    built = {
        name: quality(folder / name, world)
        for name, recipe in RECIPES.items()
        if recipe.sections is not None
    }
    print(f"{'':28}" + "".join(f"{name:>12}" for name in built))
    for figure in FIGURES:
        print(f"{figure:28}" + "".join(f"{values[figure]:12.3f}" for values in built.values()))
    print(flush=True)


def measured(folder: Path, name: str, seed: int, steps: int) -> dict[str, float]:
    """Returns the figures of a model that is trained on a dataset with a seed; trains and measures
    it unless that was done."""
    output = folder / "runs" / f"{name}-{seed}"
    done = output / "figures.json"
    if not done.exists():
        started = sum(os.times()[:4])
        settings = [f"optimizer.steps={steps}", f"sample.choose={RECIPES[name].choose}"]
        trained = load_train_config("demo", settings)
        trained = replace(trained, run=replace(trained.run, seed=seed))
        if train(trained, [str(folder / name)], output)["stopped"]:
            raise SystemExit(STOPPED)
        values = measure(output / "model", folder / "suite", BENCHMARKS, COLUMNS)
        minutes = (sum(os.times()[:4]) - started) / 60
        shown = ", ".join(f"{column} {value:.3f}" for column, value in values.items())
        print(f"{name} {seed}: {shown}; {minutes:.1f} minutes of CPU", flush=True)
        done.write_text(json.dumps(values))
    values = json.loads(done.read_text())
    return {column: values[column] for column in COLUMNS}


def print_figures(figures: dict[str, list[dict[str, float]]]) -> bool:
    """Prints means and standard deviations, and what care gains; returns whether the goals are met:
    more than twice the larger spread, and half of the way to the truth."""
    print(f"\n{'':12}" + "".join(f"{column:>16}" for column in COLUMNS))
    for name, runs in figures.items():
        cells = (np.array([run[column] for run in runs]) for column in COLUMNS)
        print(f"{name:12}" + "".join(f"{c.mean():10.3f}±{c.std():.3f}" for c in cells))
    met = 0
    for column in COLUMNS:
        each = {name: np.array([run[column] for run in runs]) for name, runs in figures.items()}
        published, ours, truth = (each[n].mean() for n in ("published", "ours", "truth"))
        spread = max(each["published"].std(), each["ours"].std())
        gain, whole = ours - published, truth - published
        good = gain > 2 * spread and gain >= whole / 2
        met += good
        print(
            f"{column}: {gain:+.3f} of {whole:+.3f} with the truth, twice the spread "
            f"{2 * spread:.3f}: {'met' if good else 'missed'}"
        )
    return verdict("FIGURES WITH BOTH GOALS MET", met, len(COLUMNS), True)


if __name__ == "__main__":
    sys.exit(main())
