"""Compares this model and its losses with a file of tensors from the published code.

`python -m finehard.fgclip.golden FILE.npz` prints the largest differences, and exits with 1 when
one is too large. The file holds a small model (`state/*`), inputs (`in/*`), features (`out/*`), the
three cumulative losses (`loss/*`) and the gradients of the last (`grad/*`); `meta` is JSON with the
configs of both towers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPConfig

from finehard.errors import UsageError
from finehard.fgclip.batch import Batch
from finehard.fgclip.model import FGCLIP, from_state
from finehard.fgclip.objective import Objective, ObjectiveConfig
from finehard.fgclip.packing import LONG, SHORT, pack, trim

FEATURES, LOSSES, GRADIENTS = 1e-5, 1e-5, 1e-4
"""The largest absolute differences allowed."""


def read(path: str | Path) -> dict[str, Any]:
    """Returns the file's arrays as tensors by name, and `meta` as a dict. Raises `UsageError`."""
    try:
        with np.load(path) as file:
            meta = json.loads(bytes(file["meta"]))
            return {
                "meta": meta,
                **{k: torch.as_tensor(file[k]) for k in file.files if k != "meta"},
            }
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"{path} is not a golden file: {error}") from None


def model_of(golden: Mapping[str, Any]) -> FGCLIP:
    """Returns the small model of the file."""
    meta = golden["meta"]
    ends = {"bos_token_id": meta["bos"], "eos_token_id": meta["eos"], "pad_token_id": meta["eos"]}
    config = CLIPConfig(
        text_config={**meta["text"], **ends},
        vision_config=meta["vision"],
        projection_dim=meta["text"]["projection_dim"],
    )
    state = {k.removeprefix("state/"): v for k, v in golden.items() if k.startswith("state/")}
    return from_state(config, state)


def batch_of(golden: Mapping[str, Any], share_prefixes: bool = True) -> Batch:
    """Returns the file's inputs, `pixels` as normalised floats; hard regions have own boxes."""
    boxes, images, region_texts = _rows(golden["in/box_infos"], golden["in/box_nums"])
    hard_boxes, hard_images, _ = _rows(golden["in/hard_infos"], golden["in/hard_nums"])
    hard = trim(golden["in/hard_texts"])
    each = len(hard) // len(hard_boxes) if len(hard_boxes) else 1
    groups = {
        "short": [(SHORT, t) for t in trim(golden["in/text_short"])],
        "long": [(LONG, t) for t in trim(golden["in/text_long"])],
        "regions": [(SHORT, t) for t in trim(golden["in/box_texts"][region_texts])],
        "hard": [(SHORT, t) for t in hard[: each * len(hard_boxes)]],
    }
    packing, which = pack([t for g in groups.values() for t in g], share_prefixes)
    parts = torch.tensor(which).split([len(g) for g in groups.values()])
    short, long, regions, hard_texts = parts
    hard_texts = hard_texts.reshape(len(hard_boxes), each)
    return Batch(
        pixels=golden["in/image"],
        packing=packing,
        short=short,
        long=long,
        short_images=torch.arange(len(short)),
        long_images=torch.arange(len(long)),
        boxes=torch.cat([boxes, hard_boxes]),
        images=torch.cat([images, hard_images]),
        regions=regions,
        hard_boxes=torch.arange(len(hard_boxes)) + len(boxes),
        positives=hard_texts[:, 0],
        negatives=hard_texts[:, 1:],
        short_same=short,
        long_same=long,
        region_same=regions,
        positive_same=hard_texts[:, 0],
        negative_same=hard_texts[:, 1:],
        region_text=regions,
    )


def _rows(padded: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the rows of `padded` (equally many an image) that are not padding, their images, and
    their indices in `padded`."""
    each = len(padded) // len(counts)
    rows = torch.tensor(
        [i * each + j for i, n in enumerate(counts.tolist()) for j in range(n)], dtype=torch.int64
    )
    return padded[rows], rows // max(1, each), rows


def features(model: FGCLIP, golden: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the features by their names in the file; those of regions without padding."""
    batch = batch_of(golden)
    image, dense = model.encode_images(batch.pixels)
    assert dense is not None
    states = model.encode_texts(batch.packing)
    count = len(batch.regions)
    return {
        "image_features": image,
        "dense_features": dense.flatten(2).transpose(1, 2),
        "text_long": model.long_features(states[batch.long]),
        "text_short": model.short_features(states[batch.short]),
        "region_features": model.region_features(dense, batch.boxes[:count], batch.images[:count]),
    }


def differences(golden: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Returns name -> (largest absolute difference, allowed difference), for all tensors."""
    model = model_of(golden)
    result = {}
    _, _, rows = _rows(golden["in/box_infos"], golden["in/box_nums"])
    for name, ours in features(model, golden).items():
        theirs = golden[f"out/{name}"]
        if name == "region_features" and len(theirs) != len(ours):
            theirs = theirs[rows]
        result[f"out/{name}"] = (_largest(ours, theirs), FEATURES)
    batch = batch_of(golden)
    steps = (("global", 0.0, 0.0), ("global_region", 0.1, 0.0), ("global_region_hard", 0.1, 0.5))
    for name, region, hard in steps:
        config = ObjectiveConfig(
            ranks="own", mask_same=False, region_weight=region, hard_weight=hard,
            max_negatives=batch.negatives.shape[1],
        )  # fmt: skip
        model.zero_grad()
        loss = Objective(model, config).batch_losses(batch)["loss"]
        result[f"loss/{name}"] = (_largest(loss, golden[f"loss/{name}"]), LOSSES)
    loss.backward()
    for name, parameter in model.named_parameters():
        if f"grad/{name}" in golden:
            ours = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            result[f"grad/{name}"] = (_largest(ours, golden[f"grad/{name}"]), GRADIENTS)
    return result


def _largest(a: Tensor, b: Tensor) -> float:
    return float((a.detach() - b).abs().max()) if a.numel() else 0.0


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file")
    results = differences(read(parser.parse_args(argv).file))
    for part in ("out", "loss", "grad"):
        of_part = {k: v for k, v in results.items() if k.startswith(f"{part}/")}
        worst = max(of_part, key=lambda k: of_part[k][0])
        print(f"{part}: {len(of_part)} compared, {worst} differs most, by {of_part[worst][0]:.2e}")
    bad = [k for k, (largest, allowed) in results.items() if not largest <= allowed]
    print(f"too different: {', '.join(bad)}" if bad else "all equal within the tolerances")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
