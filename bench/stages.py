"""Stage 1 on captions only, then stage 2, against stage 2 alone: FG-CLIP on rendered scenes.

Captions are cheap and regions are not: stage 1 has tars of all scenes with their captions only, as
others write them; stage 2 has regions and hard negatives of the first scenes. Small models from
scratch, evaluated on unseen scenes. Prints a table, averaged over seeds: stage 2 alone, stage 1 and
then as many steps of stage 2, and stage 2 alone with as many steps as both stages have.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset

from bench.demo_training import COLUMNS, write_scenes
from finehard.fgclip.config import TrainConfig, load_train_config
from finehard.fgclip.train import train

FIRST, SECOND = 300, 80
"""Steps of both stages."""
BATCH = 32


def write_captions(scenes: Path, folder: Path) -> None:
    """Writes the scenes in `scenes` to `folder` as tars of images and JSON with both captions,
    unless it exists."""
    if (folder / "sizes.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted((scenes / "shards").glob("*.tar")):
        target = webdataset.TarWriter(str(folder / source.name), encoder=False)
        with tarfile.open(source) as tar, target:
            for member in tar:
                key, kind = member.name.split(".")
                file = tar.extractfile(member)
                assert file is not None
                data = file.read()
                if kind == "json":
                    sample = json.loads(data)
                    names = ("short_caption", "long_caption")
                    data = json.dumps({name: sample[name] for name in names}).encode()
                target.write({"__key__": key, kind: data})
    (folder / "sizes.json").write_bytes((scenes / "sizes.json").read_bytes())


def stage(recipe: str, steps: int, seed: int, settings: list[str]) -> TrainConfig:
    """Returns the config of a stage of the demo's small model: samples and losses of `recipe`."""
    amx = "amx_bf16" in Path("/proc/cpuinfo").read_text() or torch.cuda.is_available()
    demo = load_train_config("demo", [
        f"run.precision={'bf16' if amx else 'fp32'}", f"run.seed={seed}", "run.save_every=100000",
        "optimizer.warmup_steps=20",
        f"optimizer.steps={steps}", f"optimizer.batch_size={BATCH}", "objective.scales=global",
        *settings,
    ])  # fmt: skip
    if recipe == "demo":
        return demo
    published = load_train_config(recipe)
    return dataclasses.replace(demo, sample=published.sample, objective=published.objective)


def figures(folder: Path, line: str, seed: int, steps: tuple[int, int], settings: list[str]) -> Any:
    """Returns the figures on the unseen scenes of one line of the table, with one seed."""
    first, second = steps
    output = folder / "runs" / f"{line.replace(' ', '-').replace(',', '')}-{seed}"
    start = None
    if line == "stage 1, then stage 2":
        start = output / "first"
        train(stage("stage1", first, seed, settings), [str(folder / "captions")], start)
    elif line == "stage 2 alone, all steps":
        second += first
    config = stage("demo", second, seed, settings)
    result = train(
        config, [str(folder / "regions")], output / "second",
        None if start is None else str(start), eval_data=[str(folder / "unseen")],
    )  # fmt: skip
    return result["evaluation"]


LINES = ("stage 2 alone", "stage 1, then stage 2", "stage 2 alone, all steps")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=4_000, help="with captions")
    parser.add_argument("--regions", type=int, default=2_000, help="of these, with regions")
    parser.add_argument("--unseen", type=int, default=300)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(FIRST, SECOND), help="of both stages"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", help="folder for scenes and runs, to resume from")
    parser.add_argument("--set", action="append", default=[], help="as of `finehard train`")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        write = partial(write_scenes, processes=args.threads)
        write(folder / "scenes", args.scenes, 1, False)
        write(folder / "regions", args.regions, 1, False)
        write(folder / "unseen", args.unseen, 2, True)
        write_captions(folder / "scenes", folder / "captions")
        first, second = args.steps
        print(f"{args.scenes} scenes with captions, {args.regions} of them with regions")
        print(f"{first} and {second} steps of {BATCH} images, {args.seeds} seeds")
        print(f"{'':26}{'minutes':>9}" + "".join(f"{c:>14}" for c in COLUMNS))
        means = {}
        for line in LINES:
            begin = time.perf_counter()
            found = [figures(folder, line, s, (first, second), args.set) for s in range(args.seeds)]
            minutes = (time.perf_counter() - begin) / 60 / args.seeds
            cells = {c: [f[c] for f in found] for c in COLUMNS}
            means[line] = float(np.mean(cells["long_i2t_r1"]))
            texts = "".join(f"{np.mean(v):8.3f}±{np.std(v):.3f}" for v in cells.values())
            print(f"{line:26}{minutes:9.1f}" + texts, flush=True)
    alone, both, longer = (means[line] for line in LINES)
    print(f"stages: {both:.3f} image to long caption, R@1, with stage 1, {longer:.3f} with more of "
          f"stage 2 in its place (goal > {alone:.3f}, without both)")  # fmt: skip
    return 0 if both > alone else 1


if __name__ == "__main__":
    sys.exit(main())
