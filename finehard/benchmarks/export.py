"""`finehard export-features`: what open-vocabulary detectors read of a model.

Classes: a text feature each, as F-ViT (a .pt file of a dict) and CLIPSelf (a .npy file of rows)
read them. Maps: the dense map of each image, normalised, as F-ViT's backbone hands it on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from finehard.benchmarks.imagenet import imagenet
from finehard.benchmarks.loading import load_model
from finehard.benchmarks.model import Features, Model
from finehard.benchmarks.models.forward import ForwardModel
from finehard.console.arguments import Parser
from finehard.errors import FinehardError, UsageError
from finehard.images import ANY_SIDE, ImageError, load

BACKGROUND = "background"
"""The last class of F-ViT's detectors."""

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def read_classes(file: str | Path) -> list[str]:
    """Returns the names in a JSON list, in a COCO-like JSON in the order of the categories' ids, or
    in a text file, a line each. Raises `UsageError`."""
    try:
        text = Path(file).read_text("utf-8")
        content = json.loads(text) if Path(file).suffix == ".json" else text.splitlines()
        if isinstance(content, dict):
            ordered = sorted(content["categories"], key=lambda one: one["id"])
            content = [one["name"] for one in ordered]
        names = [name.strip() for name in content if name.strip()]
    except OSError as error:
        raise UsageError(f"--classes {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"--classes {file}: neither a list of names nor a JSON with categories"
        ) from None
    if not names:
        raise UsageError(f"--classes {file}: no names in it")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"--classes {file}: {twice[0]!r} is in it twice")
    return names


def class_features(model: Model, names: Sequence[str], templates: Sequence[str]) -> Features:
    """Returns (n, d), a row each of `names`: the mean over `templates`, normalised.

    In a name, "_" is a space and "/" is "or", as in F-ViT's files; "{c}" is its place.
    """
    spoken = [name.replace("_", " ").replace("/", " or ") for name in names]
    texts = [template.replace("{c}", name) for name in spoken for template in templates]
    rows = model.encode_texts(texts, "region").reshape(len(names), len(templates), -1)
    means = rows.mean(1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def write_classes(file: Path, names: Sequence[str], rows: Features) -> None:
    """Writes `rows` to a .pt file, a dict from name to (d,) feature, or to a .npy file, (n, d)."""
    if file.suffix == ".npy":
        np.save(file, rows)
    else:
        torch.save(
            {name: torch.from_numpy(row.copy()) for name, row in zip(names, rows, strict=True)},
            file,
        )


def write_maps(model: ForwardModel, images: Path, output: Path) -> int:
    """Writes NAME.npy to `output` for each file of folder `images`: float32 (d, h, w), each
    position of length 1, of the whole image. Returns how many.

    Raises `FinehardError` for a file that is no image.
    """
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise UsageError(f"--images {images}: no .jpg, .png or .webp file in it")
    output.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(files), model.batch):
        part = files[start : start + model.batch]
        maps = model.dense_maps([_image(path) for path in part])
        for path, dense in zip(part, maps, strict=True):
            np.save(output / f"{path.stem}.npy", normalize(dense, dim=0).cpu().numpy())
    return len(files)


def _image(path: Path) -> Image.Image:
    try:
        return load(path.read_bytes(), ANY_SIDE)
    except ImageError as error:
        raise FinehardError(f"{path}: {error.reason}: {error.detail}") from None


def _templates(file: str | None) -> Sequence[str]:
    if file is None:
        return imagenet().classes.templates
    try:
        found = [line for line in Path(file).read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"--templates {file}: {error}") from None
    if wrong := [line for line in found if "{c}" not in line]:
        raise UsageError(f"--templates {file}: {wrong[0]!r} has no {{c}}, the place of the name")
    if not found:
        raise UsageError(f"--templates {file}: nothing in it")
    return found


def main(arguments: Sequence[str]) -> int:
    """Runs `finehard export-features`; returns its exit code."""
    parser = Parser(
        prog="finehard export-features",
        description="Writes text features of classes, or dense maps of images, for detectors.",
    )
    parser.add_argument("--model", required=True, help="as of `finehard evaluate benchmark`")
    parser.add_argument("--classes", help="JSON list, COCO-like JSON, or a text file of names")
    parser.add_argument("--images", help="folder of images, whose dense maps are written")
    parser.add_argument(
        "--output", required=True,
        help="for classes a .pt file (F-ViT: a dict, with the background) or a .npy file "
        "(CLIPSelf: rows); for images a folder",
    )  # fmt: skip
    parser.add_argument("--templates", help="file of prompts, a line each, with {c} (default: "
                        "ImageNet's 80)")  # fmt: skip
    args = parser.parse_args(list(arguments))
    output = Path(args.output)
    if (args.classes is None) == (args.images is None):
        raise UsageError("give either --classes or --images")
    if args.images:
        return _export_maps(args.model, Path(args.images), output)
    if output.suffix not in (".pt", ".npy"):
        raise UsageError(f"--output {output}: give a .pt or a .npy file")
    names, templates = read_classes(args.classes), _templates(args.templates)
    if output.suffix == ".pt" and BACKGROUND not in names:
        names.append(BACKGROUND)
    output.parent.mkdir(parents=True, exist_ok=True)
    rows = class_features(load_model(args.model), names, templates)
    write_classes(output, names, rows)
    print(f"{output}: {len(names)} classes of {rows.shape[1]} numbers, {len(templates)} prompts")
    return 0


def _export_maps(spec: str, images: Path, output: Path) -> int:
    if not images.is_dir():
        raise UsageError(f"--images {images}: no such folder")
    model: Any = load_model(spec)
    if model.describe()["boxes"].startswith("crops"):
        raise UsageError(f"--model {spec} has no dense map: its boxes are crops")
    count = write_maps(model, images, output)
    print(f"{output}: the dense maps of {count} images")
    return 0
