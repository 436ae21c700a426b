"""The demo VLM, a Qwen2-VL of 3.8 M parameters: built, saved, and its vision tower run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finehard.demo.vocabulary import SPECIAL_TOKENS

PATCH = 16
"""Side of a vision patch, in pixels; 2 x 2 patches make one image token."""
TOKEN_SIDE = 2 * PATCH
MIN_PIXELS, MAX_PIXELS = 96 * 96, 256 * TOKEN_SIDE**2
"""Images are resized to between 9 and 256 tokens; a demo scene has 64, a crop about 9."""
MEAN = STD = 0.5
HIDDEN = 160


def build_model(tokenizer: Any) -> Any:
    """Returns a Qwen2VLForConditionalGeneration with random weights (torch's seed), float32."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": HIDDEN,
            "intermediate_size": 3 * HIDDEN,
            "num_hidden_layers": 4,
            "num_attention_heads": HIDDEN // 32,
            "num_key_value_heads": HIDDEN // 32,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 6, 6],  # 16 pairs of the head size 32: time, height, width
            },
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 4,
            "embed_dim": 192,
            "hidden_size": HIDDEN,
            "num_heads": 6,
            "mlp_ratio": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    model = Qwen2VLForConditionalGeneration(config).to(torch.float32)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.generation_config.do_sample = False
    return model


def save_model(model: Any, tokenizer: Any, folder: str | Path) -> Path:
    """Writes config, weights, tokenizer and image processor settings. Returns the folder.

    Weights are stored in float16 and loaded in float32, as the config says.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "patch_size": PATCH,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "size": {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS},
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    video = settings | {"video_processor_type": "Qwen2VLVideoProcessor"}
    del video["image_processor_type"]
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n")
    halves = {name: value.half() for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=halves)
    return folder


def image_tokens(visual: Any, patches: Any, positions: Any, grid: Any) -> Any:
    """Returns the vision tower's output for padded images: (tokens of all images, HIDDEN).

    Equals transformers' own forward pass, but runs all images at once instead of one by one. The
    arguments are the fields of `finehard.demo.vlm.patches.Patches`.
    """
    import torch
    from torch.nn.functional import linear

    counts = grid.prod(-1)
    present = torch.arange(patches.shape[1]) < counts[:, None]
    weight = visual.patch_embed.proj.weight.sum(2).flatten(1)  # a still fills both frames
    x = linear((patches.float() / 255 - MEAN) / STD, weight)
    heads = visual.blocks[0].attn.num_heads
    width = x.shape[-1] // heads
    inverse = 1.0 / (10000.0 ** (torch.arange(0, width // 2, 2) / (width // 2)))
    angles = (positions[..., None] * inverse).flatten(-2)
    angles = torch.cat((angles, angles), -1)[:, :, None]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    bias = x.new_zeros(present.shape).masked_fill(~present, -1e4)
    bias = bias[:, None].expand(-1, heads, -1).reshape(-1, 1, present.shape[1])

    def rotate(v: Any) -> Any:
        a, b = v.chunk(2, -1)
        return v * cos + torch.cat((-b, a), -1) * sin

    def by_head(v: Any) -> Any:
        return v.transpose(1, 2).flatten(0, 1)

    for block in visual.blocks:
        qkv = block.attn.qkv(block.norm1(x)).view(*x.shape[:2], 3, heads, width)
        q, k, v = qkv.unbind(2)
        q, k, v = by_head(rotate(q) * width**-0.5), by_head(rotate(k)), by_head(v)
        with torch.autocast(
            "cpu", enabled=False
        ):  # torch's fused attention has a slow backward pass
            weights = torch.baddbmm(bias, q, k.transpose(1, 2)).softmax(-1)
            mixed = (weights @ v).view(len(counts), heads, -1, width)
        x = x + block.attn.proj(mixed.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
    joined = visual.merger.ln_q(x).view(x.shape[0], x.shape[1] // 4, -1)
    return visual.merger.mlp(joined[present[:, ::4]])
