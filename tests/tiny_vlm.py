"""Builds a random-weight Qwen2-VL of 0.3 M parameters that real engines load.

`python tests/tiny_vlm.py FOLDER` writes config, weights (safetensors), tokenizer, chat template and
image processor settings. Everything is made in code; the same call gives the same folder. Its text
is noise: it shows that the plumbing works and nothing else.
"""

import json
import sys
from pathlib import Path

from finehard.demo.vocabulary import CHAT_TEMPLATE, SPECIAL_TOKENS

# One token per byte costs one step per character; a few merges keep prompts short.
CORPUS = (
    "the photo shows a man and a woman standing near the brown table with two red cups on it",
    "a dog runs over the green grass while a small child in a blue shirt looks at the white ball",
    "write a short caption and a long caption of this image, return JSON with the named fields",
    "each region has a box, a phrase and a caption; change the color, material, size or shape only",
    '{"short_caption": "a street", "long_caption": "cars on a street", "verified": true}',
    "describe the image: what is in the foreground, what is in the background, which colors",
)


def build_tokenizer(vocabulary_size: int):
    """Returns a byte-level BPE tokenizer of `vocabulary_size` entries, specials included."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    model = json.loads(core.to_str())["model"]
    tokenizer = Qwen2TokenizerFast(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token=None,
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        model_max_length=8192,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_tiny_vlm(folder: str | Path, seed: int = 0) -> Path:
    """Writes the model folder and returns its path; a folder already built is left as it is."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    folder = Path(folder)
    if (folder / "model.safetensors").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(512)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": 512,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
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
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": 64,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config).to(torch.float32)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.generation_config.do_sample = False
    tokenizer.save_pretrained(folder)
    write_processor_config(folder)
    model.save_pretrained(folder)
    return folder


def write_processor_config(folder: Path) -> None:
    """Writes the image processor settings: patches of 14 px merged 2 x 2, at most 112 x 112 px."""
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "min_pixels": 28 * 28,
        "max_pixels": 112 * 112,
        "size": {"shortest_edge": 28 * 28, "longest_edge": 112 * 112},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=2))
    video = settings | {"video_processor_type": "Qwen2VLVideoProcessor"}
    del video["image_processor_type"]
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2))


if __name__ == "__main__":
    print(build_tiny_vlm(sys.argv[1]))
