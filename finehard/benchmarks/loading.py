"""Loads the model that a name, folder or Hub id is of."""

from __future__ import annotations

import os

from finehard.benchmarks.model import Model, Precision
from finehard.errors import FinehardError


def load_model(
    spec: str | os.PathLike[str], device: str | None = None, precision: Precision | None = None
) -> Model:
    """Returns the model that `spec` names, in evaluation mode on `device`.

    `spec` is the folder or Hub id of an FG-CLIP or FG-CLIP 2 (trained here or published), CLIP,
    SigLIP or SigLIP 2, or "open_clip:ARCHITECTURE[:PRETRAINED]", where PRETRAINED is a tag or a
    path of weights. `device` defaults to a GPU where there is one, `precision` to bf16 there and to
    fp32 on a CPU. Raises `FinehardError` where there is no such model.
    """
    try:
        from finehard.benchmarks.models.load import load
    except ImportError as error:
        raise FinehardError(f"{error}: install finehard[train]") from None
    return load(os.fspath(spec), device, precision)
