"""The benchmark command on models trained on rendered scenes: an ablation of the losses.

Unseen scenes are written in the layouts of public benchmarks: short and long captions, boxes in
COCO's format, one true and ten false texts a box as in FG-OVD, half truths, and a webdataset of
CLIP_benchmark. `finehard evaluate benchmark` measures the models that `bench.demo_training` trains.
Prints a table, means and standard deviations over seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.demo_training import STEPS, VARIANTS, additions, negatives, run, write_scenes
from finehard.benchmarks.benchmark import Benchmark
from finehard.benchmarks.declared import half_truths_of
from finehard.benchmarks.measures import BoxClassification, BoxTexts, Choice, Retrieval
from finehard.benchmarks.readers.boxes import coco_boxes, fgovd
from finehard.benchmarks.readers.choices import sugarcrepe
from finehard.benchmarks.readers.pairs import listed, numbered
from finehard.cli.main import main as finehard
from finehard.demo.render import encode, render
from finehard.demo.texts import long_caption, short_caption, thing_phrase
from finehard.demo.world import COLORS, KINDS, Scene

SEED = 3
"""Neither the training scenes' nor those of `bench.demo_training`'s evaluation."""

_PROTOCOL = "rendered scenes, unseen, with pairs of color and kind that no training scene has"
_LONG = numbered("images", "captions")

short = Benchmark(
    "demo_short", "short captions", "demo", listed("short.json", ("images",)),
    Retrieval("short"), _PROTOCOL,
)  # fmt: skip
long = Benchmark("demo_long", "long captions", "demo", _LONG, Retrieval("long"), _PROTOCOL)
boxes = Benchmark(
    "demo_boxes", "boxes", "demo",
    coco_boxes(("instances.json",), ("images",), lambda image: image["file_name"],
               templates=("a {c}",)),
    BoxClassification(), f"{_PROTOCOL}; classes are pairs of color and kind",
)  # fmt: skip
fine = Benchmark(
    "demo_fine", "true and ten false texts of a box", "demo",
    fgovd(("hard.jsonl",), (), ("",)), BoxTexts(), _PROTOCOL,
)  # fmt: skip
half = half_truths_of("demo", "told object by object", "demo", numbered("images", "told"))
added = Benchmark(
    "demo_added", "short captions and the same with an object that is not there", "demo",
    sugarcrepe(("added.json",), ("images",), ("caption",), ("negative_caption",)), Choice(),
    _PROTOCOL,
)  # fmt: skip
named = Benchmark(
    "demo_named", "short captions with an object: one that is there, or is not", "demo",
    sugarcrepe(("named.json",), ("images",), ("caption",), ("negative_caption",)), Choice(),
    f"{_PROTOCOL}; both texts name as much",
)  # fmt: skip

_HERE = "bench.benchmarks_demo"
BENCHMARKS = (
    *(f"{_HERE}:{name}" for name in ("short", "long", "boxes", "fine", "half", "added", "named")),
    "wds/demo",
)  # fmt: skip
COLUMNS = {
    "short": ("demo_short", "image_to_text_r@1"),
    "long": ("demo_long", "image_to_text_r@1"),
    "boxes": ("demo_boxes", "top1"),
    "1 of 11": ("demo_fine", "top1"),
    "half truths": ("half_truths/demo", "image_to_text"),
    "added": ("demo_added", "image_to_text"),
    "named": ("demo_named", "image_to_text"),
    "classes": ("wds/demo", "acc1"),
}
"""Column -> benchmark and figure."""


def write_suite(root: Path, count: int) -> None:
    """Writes all benchmarks of `count` unseen scenes below `root`, unless they are there."""
    done = root / "demo" / "short.json"
    if done.exists():
        return
    (root / "demo" / "images").mkdir(parents=True, exist_ok=True)
    (root / "demo" / "captions").mkdir(exist_ok=True)
    (root / "demo" / "told").mkdir(exist_ok=True)
    scenes = []
    for index in range(count):
        image, scene = render(SEED, index, True)
        (root / "demo" / "images" / f"{index}.jpg").write_bytes(encode(image, SEED, index))
        text = long_caption(scene).replace("\n", " ")
        (root / "demo" / "captions" / f"{index}.txt").write_text(text, "utf-8")
        (root / "demo" / "told" / f"{index}.txt").write_text(_told(scene), "utf-8")
        scenes.append(scene)
    (root / "demo" / "instances.json").write_text(json.dumps(_instances(scenes)))
    rows = [json.dumps(row) for index, scene in enumerate(scenes) for row in _fine(index, scene)]
    (root / "demo" / "hard.jsonl").write_text("\n".join(rows) + "\n")
    choices = [_with_objects(index, scene) for index, scene in enumerate(scenes)]
    for name in ("added", "named"):
        (root / "demo" / f"{name}.json").write_text(json.dumps([row[name] for row in choices]))
    _write_classes(root / "wds_demo", root / "demo" / "images", scenes)
    pairs = [
        {"image": f"{index}.jpg", "caption": short_caption(scene)}
        for index, scene in enumerate(scenes)
    ]
    done.write_text(json.dumps(pairs))


def _told(scene: Scene) -> str:
    """Returns a caption whose first sentence is true of the whole, and the rest of one object
    each, so that its half truths change a detail of an object."""
    first = long_caption(scene).partition(":")[0]
    rest = (f"{thing_phrase(t)} is {scene.position(t)}" for t in scene.things)
    return f"{first}. {' '.join(f'{one[0].upper()}{one[1:]}.' for one in rest)}"


def _with_objects(index: int, scene: Scene) -> dict[str, dict[str, str]]:
    """Returns rows of two benchmarks: the short caption, or with an object that is not there; with
    an object that is there, or one that is not."""
    true = short_caption(scene)
    false, _ = additions(str(index), scene, SEED)
    shown, absent = thing_phrase(scene.things[0]), false["claim"]
    image = f"{index}.jpg"
    return {
        "added": {"filename": image, "caption": true, "negative_caption": false["text"]},
        "named": {
            "filename": image,
            "caption": _near(true, shown),
            "negative_caption": _near(true, absent),
        },
    }


def _near(caption: str, thing: str) -> str:
    return f"{caption.rstrip('.')}, with {thing} nearby."


def _xywh(box: tuple[int, int, int, int]) -> list[int]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _instances(scenes: list[Scene]) -> dict[str, Any]:
    classes = {(color, kind): n for n, (color, kind) in enumerate(_color_kinds())}
    images = [
        {"id": index, "file_name": f"{index}.jpg", "width": scene.width, "height": scene.height}
        for index, scene in enumerate(scenes)
    ]
    annotations = [
        {"image_id": index, "category_id": classes[t.color, t.kind], "bbox": _xywh(t.box)}
        for index, scene in enumerate(scenes)
        for t in scene.things
    ]
    categories = [{"id": n, "name": " ".join(pair)} for pair, n in classes.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _color_kinds() -> list[tuple[str, str]]:
    return [(color, kind) for kind in KINDS for color in COLORS]


def _fine(index: int, scene: Scene) -> list[dict[str, Any]]:
    rng = random.Random(f"{SEED} {index}")
    return [
        {
            "img_path": f"images/{index}.jpg",
            "bbox": _xywh(thing.box),
            "pos_expression": [thing_phrase(thing)],
            "neg_expression": [one["text"] for one in negatives(thing, rng)],
            "width": scene.width,
            "height": scene.height,
            "image_id": index,
        }
        for thing in scene.things
    ]


def _write_classes(folder: Path, images: Path, scenes: list[Scene]) -> None:
    """Writes a webdataset: the kind of the largest object."""
    (folder / "test").mkdir(parents=True)
    (folder / "classnames.txt").write_text("\n".join(KINDS) + "\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a {c}\nA {c} on a table.\n")
    (folder / "test" / "nshards.txt").write_text("1\n")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for index, scene in enumerate(scenes):
            largest = max(scene.things, key=lambda t: _area(t.box))
            label = str(KINDS.index(largest.kind)).encode()
            picture = (images / f"{index}.jpg").read_bytes()
            for suffix, data in (("jpg", picture), ("cls", label)):
                member = tarfile.TarInfo(f"s{index:07d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def measure(
    model: Path,
    root: Path,
    benchmarks: Sequence[str] = BENCHMARKS,
    columns: Mapping[str, tuple[str, str]] = COLUMNS,
) -> dict[str, float]:
    """Returns for each column the figure of `finehard evaluate benchmark`."""
    arguments = ["--model", str(model), "--data", str(root), "--format", "json"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = finehard(["evaluate", "benchmark", *arguments, "--benchmark", *benchmarks])
    if code:
        raise SystemExit(code)
    figures = {
        (result["benchmark"], figure["name"]): figure["value"]
        for result in json.loads(printed.getvalue())
        for figure in result["figures"]
    }
    return {column: figures[key] for column, key in columns.items()}


def trained(folder: Path, name: str, seed: int, args: argparse.Namespace) -> Path:
    """Returns the folder of a variant's model, trained unless it is there."""
    model = folder / "runs" / f"{name.strip('+ ')}-{seed}" / "model"
    if not model.exists():
        write_scenes(folder / "scenes", args.scenes, 1, False, args.threads)
        write_scenes(folder / "unseen", args.unseen, 2, True, args.threads)
        run(folder, name, seed, [f"optimizer.steps={args.steps}"])
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=8_000)
    parser.add_argument("--unseen", type=int, default=500)
    parser.add_argument("--steps", type=int, default=STEPS)
    variants = list(VARIANTS)
    parser.add_argument("--variants", nargs="+", choices=variants, default=variants[:3])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="folder for scenes and runs, to resume from")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        write_suite(folder / "suite", args.unseen)
        print(f"{args.scenes} scenes, {args.unseen} unseen, {args.steps} steps, {args.seeds} seeds")
        print(f"{'losses':10}" + "".join(f"{column:>15}" for column in COLUMNS))
        means: dict[str, dict[str, float]] = {}
        for name in args.variants:
            models = [trained(folder, name, seed, args) for seed in range(args.seeds)]
            figures = [measure(model, folder / "suite") for model in models]
            values = {column: [one[column] for one in figures] for column in COLUMNS}
            means[name] = {column: float(np.mean(v)) for column, v in values.items()}
            cells = "".join(f"{np.mean(v):9.3f}±{np.std(v):.3f}" for v in values.values())
            print(f"{name:10}{cells}", flush=True)
    first, last = means[args.variants[0]], means[args.variants[-1]]
    gain = last["1 of 11"] - first["1 of 11"]
    print(f"benchmarks_demo: {gain:.3f} more at 1 of 11 than {args.variants[0]} (goal >= 0.3)")
    return 0 if gain >= 0.3 else 1


if __name__ == "__main__":
    sys.exit(main())
