"""Makes a saved model folder one that transformers and sentence-transformers load by themselves.

Added to weights and config are the image processor, the tokenizer with its true length, the
modelling code that `AutoModel` runs with `trust_remote_code=True`, and `modules.json`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import CLIPImageProcessor, CLIPProcessor

from finehard.fgclip import modeling_fgclip
from finehard.fgclip.modeling_fgclip import FGCLIPModel

AUTO_CLASSES = ("AutoModel", "AutoModelForCausalLM", "AutoModelForZeroShotImageClassification")
"""The classes that give the whole model; the published code's users call the second."""

_SENTENCE_TRANSFORMERS = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.CLIPModel"}
]


def complete(folder: Path, model: FGCLIPModel, tokenizer: Any) -> None:
    """Adds to `folder`, where `model` was saved, what loading it elsewhere needs."""
    side = model.config.vision_config.image_size
    square = {"height": side, "width": side}
    tokenizer.model_max_length = model.config.text_config.max_position_embeddings
    images = CLIPImageProcessor(size=square, do_center_crop=False, crop_size=square)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    images.save_pretrained(folder)
    _add_code(folder)
    (folder / "modules.json").write_text(json.dumps(_SENTENCE_TRANSFORMERS, indent=2), "utf-8")


def _add_code(folder: Path) -> None:
    """Copies the modelling code, and names its class in the config."""
    code = Path(modeling_fgclip.__file__)
    shutil.copyfile(code, folder / code.name)
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    name = FGCLIPModel.__name__
    config["architectures"] = [name]
    config["auto_map"] = {auto: f"{code.stem}.{name}" for auto in AUTO_CLASSES}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
