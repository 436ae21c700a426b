"""A run's state on disk: a model folder that others can load, and what only the run needs."""

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

from finehard.fgclip.evaluate import SAMPLE
from finehard.fgclip.model import save
from finehard.fgclip.objective import Objective
from finehard.fgclip.sample import SampleConfig

_NAME = re.compile(r"step-(\d+)")
_STATE = "trainer.pt"


class Kept(NamedTuple):
    """A checkpoint: its folder and the number of steps it stands after."""

    folder: Path
    step: int


def newest(folder: Path) -> Kept | None:
    """The last whole checkpoint in `folder`, if there is one."""
    found = _all(folder)
    return found[-1] if found else None


def save_model(folder: Path, objective: Objective, tokenizer: Any, sample: SampleConfig) -> None:
    """Writes model, tokenizer and how samples are seen."""
    save(objective.model, folder)
    tokenizer.save_pretrained(folder)
    (folder / SAMPLE).write_text(json.dumps(dataclasses.asdict(sample), indent=1), "utf-8")


def keep(
    folder: Path,
    step: int,
    objective: Objective,
    optimizer: Optimizer,
    tokenizer: Any,
    sample: SampleConfig,
    decides: dict[str, Any],
    most: int,
) -> Path:
    """Writes the checkpoint after `step` steps, whole or not at all; removes all but the last
    `most`."""
    target = folder / f"step-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(temporary, objective, tokenizer, sample)
    state = {
        "step": step,
        "optimizer": optimizer.state_dict(),
        "margins": objective.margins,
        "decides": decides,
    }
    torch.save(state, temporary / _STATE)
    for path in temporary.iterdir():
        _to_disk(path)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(temporary, target)
    _to_disk(folder)
    for old in _all(folder)[:-most]:
        gone = folder / f".{old.folder.name}.tmp"
        os.rename(old.folder, gone)  # a half removed checkpoint must not look whole
        shutil.rmtree(gone)
    return target


def state_of(kept: Kept) -> dict[str, Any]:
    """What `keep` wrote beside the model: step, optimizer, margins, decides."""
    return torch.load(kept.folder / _STATE, map_location="cpu", weights_only=True)


def _all(folder: Path) -> list[Kept]:
    if not folder.is_dir():
        return []
    found = [(m, p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name))]
    return sorted((Kept(p, int(m[1])) for m, p in found), key=lambda k: k.step)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
