"""`finehard export`: a trained model as a folder that open_clip loads.

open_clip has one text encoder a model: that of short texts (77 tokens), or that of long ones (248).
Dense features and regions stay behind.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from finehard.console.arguments import Parser
from finehard.errors import UsageError
from finehard.fgclip.model import FGCLIP, load
from finehard.fgclip.objective import MEAN, STD
from finehard.fgclip.tokenizer import load_tokenizer

Texts = Literal["short", "long"]

_RENAMED = (
    (r"^text_model\.embeddings\.", ""),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.embeddings\.", "visual."),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
"""Parameter names of transformers' CLIP, and those of OpenAI's and open_clip's."""


def export_open_clip(model: FGCLIP, tokenizer: Any, folder: Path, texts: Texts = "short") -> None:
    """Writes config, weights and tokenizer to `folder`: open_clip loads "local-dir:FOLDER".

    Raises `UsageError` for a model with layer norms that open_clip does not have.
    """
    config = _config(model, texts)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    state = {name: t.clone().contiguous() for name, t in open_clip_state(model, texts).items()}
    save_file(state, folder / "open_clip_model.safetensors", {"format": "pt"})
    tokenizer.model_max_length = config["model_cfg"]["text_cfg"]["context_length"]
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def open_clip_state(model: FGCLIP, texts: Texts) -> dict[str, Tensor]:
    """Returns the parameters of `model` with images and one kind of texts, by open_clip's names."""
    rows = model.text_model.embeddings.positions()
    short = model.config.text_config.max_position_embeddings
    head = model.text_projection if texts == "short" else model.text_filip_projection
    state = {
        "logit_scale": model.logit_scale.data,
        "text_projection": head.weight.T,
        "visual.proj": model.visual_projection.weight.T,
        "positional_embedding": rows[:short] if texts == "short" else rows[short:],
    }
    for name, value in model.state_dict().items():
        if not name.startswith(("text_model.", "vision_model.")) or "q_proj" in name:
            continue
        if name.startswith("text_model.embeddings.position_embedding"):
            continue
        if re.search(r"\.(k|v)_proj\.", name):
            if ".k_proj." in name:
                parts = [model.state_dict()[name.replace("k_proj", f"{p}_proj")] for p in "qkv"]
                new = re.sub(r"self_attn\.k_proj\.", "attn.in_proj_", _rename(name))
                state[new] = torch.cat(parts)
            continue
        state[_rename(name)] = value
    return state


def _rename(name: str) -> str:
    for pattern, new in _RENAMED:
        name = re.sub(pattern, new, name)
    return name


def _config(model: FGCLIP, texts: Texts) -> dict[str, Any]:
    text, vision = model.config.text_config, model.config.vision_config
    if {text.layer_norm_eps, vision.layer_norm_eps} != {1e-5}:
        raise UsageError("open_clip cannot load it: its layer norms have an epsilon of 1e-5")
    tables = model.text_model.embeddings
    positions = tables.position_embedding if texts == "short" else tables.position_embedding_res
    return {
        "model_cfg": {
            "embed_dim": model.config.projection_dim,
            "quick_gelu": text.hidden_act == "quick_gelu",
            "vision_cfg": {
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "width": vision.hidden_size,
                "layers": vision.num_hidden_layers,
                "head_width": vision.hidden_size // vision.num_attention_heads,
                "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            },
            "text_cfg": {
                "context_length": positions.num_embeddings,
                "vocab_size": text.vocab_size,
                "width": text.hidden_size,
                "layers": text.num_hidden_layers,
                "heads": text.num_attention_heads,
                "mlp_ratio": text.intermediate_size / text.hidden_size,
                "hf_tokenizer_name": "tokenizer",  # open_clip then takes the folder's own
            },
        },
        "preprocess_cfg": {
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def main(argv: list[str]) -> int:
    """Runs `finehard export`; returns its exit code."""
    parser = Parser(prog="finehard export", description="Writes a trained model for open_clip.")
    parser.add_argument("--model", required=True, help="model folder")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument(
        "--texts", choices=("short", "long"), default="short",
        help="which texts the exported model encodes (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    model = load(args.model)
    if not isinstance(model, FGCLIP):
        raise UsageError(f"{args.model} has the SigLIP 2 backbone: open_clip has no NaFlex images")
    export_open_clip(model, load_tokenizer(args.model), Path(args.output), args.texts)
    print(f'written; open_clip.create_model_from_pretrained("local-dir:{args.output}")')
    return 0
