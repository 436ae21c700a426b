"""Which family a model is of, and the model loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig

from finehard.benchmarks.model import Model, Precision
from finehard.benchmarks.models.forward import place
from finehard.errors import FinehardError, error_line

_OPEN_CLIP = "open_clip:"
_LONG_HEAD = "text_filip_projection.weight"
"""The parameter that FG-CLIP has, and CLIP lacks."""


def load(spec: str, device: str | None, precision: Precision | None) -> Model:
    """Returns the model that `spec` names; see `finehard.benchmarks.loading.load_model`."""
    where = place(device, precision)
    if spec.startswith(_OPEN_CLIP):
        from finehard.benchmarks.models.open_clip import OpenClipModel

        return OpenClipModel(spec.removeprefix(_OPEN_CLIP), where)
    config = _config(spec)
    if config.model_type == "clip":
        if _is_fgclip(spec, config):
            from finehard.benchmarks.models.fgclip import load_fgclip

            return load_fgclip(spec, where)
        from finehard.benchmarks.models.clip import ClipModel

        return ClipModel(spec, where)
    if any(name.startswith("FGCLIP2") for name in config.architectures or []):
        raise FinehardError(
            f"{spec} is an FG-CLIP 2 model, which benchmarks cannot measure yet: read as SigLIP 2, "
            "it would lack its heads for long texts and regions"
        )
    if config.model_type in ("siglip", "siglip2"):
        from finehard.benchmarks.models.siglip import SiglipModel

        return SiglipModel(spec, where)
    raise FinehardError(
        f"{spec} is a {config.model_type} model: only FG-CLIP, CLIP, SigLIP, SigLIP 2 and "
        f"{_OPEN_CLIP}ARCHITECTURE are measured"
    )


def _config(spec: str) -> Any:
    if spec.startswith(("/", "./", "../", "~")) and not Path(spec).is_dir():
        raise FinehardError(f"no model in {spec}: no such folder")
    try:
        return AutoConfig.from_pretrained(spec, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise FinehardError(f"no model in {spec}: {error_line(error)}") from None


def _is_fgclip(spec: str, config: Any) -> bool:
    names = config.architectures or []
    return any(name.startswith("FGCLIP") for name in names) or _LONG_HEAD in _parameters(Path(spec))


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
