"""Which family a model is of, and the model loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PretrainedConfig

from finehard.benchmarks.model import Model, Precision
from finehard.benchmarks.models.forward import place
from finehard.errors import FinehardError, error_line

_OPEN_CLIP = "open_clip:"
_LONG_HEADS = {"clip": "text_filip_projection.weight", "siglip2": "longtext_head.weight"}
"""The parameters that FG-CLIP and FG-CLIP 2 have, and CLIP and SigLIP 2 lack."""


def load(spec: str, device: str | None, precision: Precision | None) -> Model:
    """Returns the model that `spec` names; see `finehard.benchmarks.loading.load_model`."""
    where = place(device, precision)
    if spec.startswith(_OPEN_CLIP):
        from finehard.benchmarks.models.open_clip import OpenClipModel

        return OpenClipModel(spec.removeprefix(_OPEN_CLIP), where)
    config = _config(spec)
    kind = config.get("model_type")
    if kind == "fgclip2" or (kind in _LONG_HEADS and _is_fine_grained(spec, config)):
        from finehard.benchmarks.models.trained import load_trained

        return load_trained(spec, where)
    if kind == "clip":
        from finehard.benchmarks.models.clip import ClipModel

        return ClipModel(spec, where)
    if kind in ("siglip", "siglip2"):
        from finehard.benchmarks.models.siglip import SiglipModel

        return SiglipModel(spec, where)
    raise FinehardError(
        f"{spec} is a {kind} model: only FG-CLIP, FG-CLIP 2, CLIP, SigLIP, SigLIP 2 and "
        f"{_OPEN_CLIP}ARCHITECTURE are measured"
    )


def _config(spec: str) -> dict[str, Any]:
    """Returns config.json as it is: the code that published folders bring for it is not run."""
    if spec.startswith(("/", "./", "../", "~")) and not Path(spec).is_dir():
        raise FinehardError(f"no model in {spec}: no such folder")
    try:
        config: dict[str, Any] = PretrainedConfig.get_config_dict(spec)[0]
    except (OSError, ValueError, KeyError) as error:
        raise FinehardError(f"no model in {spec}: {error_line(error)}") from None
    if not config.get("model_type"):
        raise FinehardError(f"no model in {spec}: no config.json that names a model_type")
    return config


def _is_fine_grained(spec: str, config: dict[str, Any]) -> bool:
    names = config.get("architectures") or []
    if any(name.upper().startswith("FGCLIP") for name in names):
        return True
    return _LONG_HEADS[config["model_type"]] in _parameters(Path(spec))


def _parameters(folder: Path) -> set[str]:
    """Returns the names of the parameters in the folder of a model; none for a Hub id."""
    for index in folder.glob("*.index.json"):
        return set(json.loads(index.read_text("utf-8"))["weight_map"])
    if (file := folder / "model.safetensors").is_file():
        with safe_open(file, "pt") as opened:
            return set(opened.keys())
    if (file := folder / "pytorch_model.bin").is_file():
        return set(torch.load(file, map_location="meta", weights_only=True, mmap=True))
    return set()
