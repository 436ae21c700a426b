"""Makes a saved model folder one that transformers and sentence-transformers load by themselves.

Added to weights and config are the image processor, the tokenizer with its true length, and the
modelling code that `AutoModel` runs with `trust_remote_code=True`; for CLIP also `modules.json`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import (
    CLIPImageProcessor,
    CLIPProcessor,
    Siglip2ImageProcessor,
    Siglip2Processor,
)

from finehard.fgclip import modeling_fgclip, modeling_fgclip2
from finehard.fgclip.model import Network
from finehard.fgclip.siglip2 import FGCLIP2
from finehard.fgclip.targets import SampleConfig

AUTO_CLASSES = ("AutoModel", "AutoModelForCausalLM", "AutoModelForZeroShotImageClassification")
"""The classes that give the whole model; the published code's users call the second."""

_SENTENCE_TRANSFORMERS = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.CLIPModel"}
]


def complete(folder: Path, model: Network, tokenizer: Any, sample: SampleConfig) -> None:
    """Adds to `folder`, where `model` was saved, what loading it elsewhere needs."""
    tokenizer.model_max_length = model.config.text_config.max_position_embeddings
    vision = model.config.vision_config
    if isinstance(model, FGCLIP2):
        images = Siglip2ImageProcessor(patch_size=vision.patch_size, max_num_patches=sample.patches)
        Siglip2Processor(images, tokenizer).save_pretrained(folder)
        images.save_pretrained(folder)
        _add_code(folder, modeling_fgclip2, "FGCLIP2Model")
        return
    square = {"height": vision.image_size, "width": vision.image_size}
    images = CLIPImageProcessor(size=square, do_center_crop=False, crop_size=square)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    images.save_pretrained(folder)
    _add_code(folder, modeling_fgclip, "FGCLIPModel")
    (folder / "modules.json").write_text(json.dumps(_SENTENCE_TRANSFORMERS, indent=2), "utf-8")


def _add_code(folder: Path, module: ModuleType, name: str) -> None:
    """Copies the modelling code, and names its class in the config."""
    code = Path(str(module.__file__))
    shutil.copyfile(code, folder / code.name)
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["architectures"] = [name]
    config["auto_map"] = {auto: f"{code.stem}.{name}" for auto in AUTO_CLASSES}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
