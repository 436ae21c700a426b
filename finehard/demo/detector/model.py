"""The demo detector, an OWL-ViT of 3 M parameters: building it and saving it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finehard.demo.detector.phrases import SETTING
from finehard.demo.world import COLORS, KINDS, PATTERNS, SIZES

SIZE, PATCH = 256, 16
GRID = SIZE // PATCH
MEAN = STD = (0.5, 0.5, 0.5)
_LENGTH = 16


def build_tokenizer() -> Any:
    """Returns a tokenizer of whole lower-case words.

    Texts end in the token with the highest id: OWL-ViT takes the text embedding there.
    """
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = [word for phrase in SETTING for word in phrase.split()]
    words += [*COLORS, *PATTERNS, *KINDS, *SIZES, "a", "an", "the", "object", "thing", "on", "with"]
    names = ["<pad>", "<unk>", *dict.fromkeys(words), "<s>", "</s>"]
    core = Tokenizer(WordLevel({n: i for i, n in enumerate(names)}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", names.index("<s>")), ("</s>", names.index("</s>"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=_LENGTH,
    )


def build_model(seed: int) -> tuple[Any, Any]:
    """Returns a model with random weights and its tokenizer."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection

    tokenizer = build_tokenizer()
    config = OwlViTConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": _LENGTH,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 192,
            "intermediate_size": 576,
            "num_hidden_layers": 5,
            "num_attention_heads": 3,
            "image_size": SIZE,
            "patch_size": PATCH,
        },
        projection_dim=128,
        dtype="float32",
    )
    torch.manual_seed(seed)
    model = OwlViTForObjectDetection(config).to(torch.float32)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim >= 2:  # the published initialisation is far too small for this width
                table = name.endswith("embedding.weight") and "patch" not in name
                value.normal_(0, 0.02 if table else 0.5 * value[0].numel() ** -0.5)
        vision = model.owlvit.vision_model
        vision.embeddings.position_embedding.weight[1:] = _position_embedding(192)
        for layer in vision.encoder.layers:
            # Queries equal keys: patches attend to near and similar ones from the start
            # (Trockman and Kolter 2023, "Mimetic initialization").
            layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
        model.class_head.logit_scale.bias.fill_(8.0)
        model.class_head.logit_shift.bias.fill_(-0.6)
    return model, tokenizer


def _position_embedding(width: int) -> Tensor:
    """Returns (patches, width) sines and cosines of row and column: near patches begin alike."""
    angles = torch.arange(GRID).float()[:, None] * torch.logspace(0.2, -1.2, width // 4)[None]
    line = 0.5 * torch.cat((angles.sin(), angles.cos()), 1)
    rows, columns = line[:, None].expand(-1, GRID, -1), line[None].expand(GRID, -1, -1)
    return torch.cat((rows, columns), -1).flatten(0, 1)


def save(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Writes the folder that transformers loads; weights are stored in float16, run in float32."""
    target = Path(folder)
    tokenizer.save_pretrained(target)
    settings = {
        "image_processor_type": "OwlViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIZE, "width": SIZE},
        "do_center_crop": False,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 3,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
    (target / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    state = {
        name: value.detach().to(torch.float16) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.save_pretrained(target, state_dict=state)
    path = target / "config.json"
    config = json.loads(path.read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n")
