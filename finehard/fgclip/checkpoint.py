"""Checkpoints: a model folder that other code loads, and the state to resume the run from."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from finehard.fgclip import loadable, model
from finehard.fgclip.ema import WeightAverage
from finehard.fgclip.evaluate import SAMPLE
from finehard.fgclip.objective import Objective
from finehard.fgclip.targets import SampleConfig

_NAME = re.compile(r"step-(\d+)")
_STATE = "trainer.pt"


class Checkpoint(NamedTuple):
    """A checkpoint's folder, and the number of steps done when it was saved."""

    folder: Path
    step: int


def latest(folder: Path) -> Checkpoint | None:
    """Returns the latest complete checkpoint in `folder`, if there is one."""
    checkpoints = _list(folder)
    return checkpoints[-1] if checkpoints else None


def save_model(folder: Path, objective: Objective, tokenizer: Any, sample: SampleConfig) -> None:
    """Writes model, tokenizer, image processor, modelling code and sample config."""
    model.save(objective.model, folder)
    loadable.complete(folder, objective.model, tokenizer, sample)
    (folder / SAMPLE).write_text(json.dumps(dataclasses.asdict(sample), indent=1), "utf-8")


def save(
    folder: Path,
    step: int,
    objective: Objective,
    optimizer: Optimizer,
    tokenizer: Any,
    sample: SampleConfig,
    fingerprint: dict[str, Any],
    max_checkpoints: int,
    average: WeightAverage | None = None,
) -> Path:
    """Saves the checkpoint after `step` steps atomically, and removes all but the latest
    `max_checkpoints`. Returns its folder."""
    target = folder / f"step-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(temporary, objective, tokenizer, sample)
    state = {
        "step": step,
        "optimizer": optimizer.state_dict(),
        "threshold": objective.threshold,
        "decides": fingerprint,
    }
    if average:
        state["ema"] = average.state()
    torch.save(state, temporary / _STATE)
    for path in temporary.iterdir():
        _fsync(path)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(temporary, target)
    _fsync(folder)
    for old in _list(folder)[:-max_checkpoints]:
        removed = folder / f".{old.folder.name}.tmp"
        os.rename(old.folder, removed)  # a half removed checkpoint must not look complete
        shutil.rmtree(removed)
    return target


def load_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what `save` wrote beside the model: step, optimizer, threshold, "decides", the
    resume fingerprint, and "ema", the averaged weights, where a run has them."""
    return torch.load(checkpoint.folder / _STATE, map_location="cpu", weights_only=True)


def _list(folder: Path) -> list[Checkpoint]:
    if not folder.is_dir():
        return []
    matches = [(m, p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name))]
    return sorted((Checkpoint(p, int(m[1])) for m, p in matches), key=lambda c: c.step)


def _fsync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
