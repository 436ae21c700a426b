"""Tiny models of each family with random weights, each in a folder with its tokenizer."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from finehard.fgclip import loadable, siglip2
from finehard.fgclip import model as fgclip
from finehard.fgclip.config import ScratchConfig, scratch_clip
from finehard.fgclip.evaluate import SAMPLE
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import make_gemma_tokenizer, make_tokenizer

torch.set_num_threads(1)

TEXTS = [
    "a red square",
    "A blue ball, above a Green square.",
    "a gray ground",
    "a white square left of a white ball " * 60,
]
"""The last one is longer than any model's text."""
CHINESE = ["红色的东西", "蓝色的东西", "绿色的东西", "绿色的东西二"]

SMALL = ScratchConfig(
    image_size=32, patch_size=8, width=32, layers=2, heads=2, text_width=32, text_layers=2,
    text_heads=2, projection=16, vocabulary=700,
)  # fmt: skip
_TOWER = {
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Three noisy pictures of unequal sizes."""
    rng = np.random.default_rng(0)
    sizes = ((40, 60), (64, 48), (32, 32))
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


@pytest.fixture(scope="session")
def boxes() -> list[np.ndarray]:
    """Two boxes, none and one for the pictures."""
    one, two = (0.1, 0.2, 0.6, 0.9), (0.0, 0.0, 1.0, 1.0)
    return [np.array([one, two]), np.zeros((0, 4)), np.array([(0.5, 0.3, 0.95, 0.5)])]


@pytest.fixture(scope="session")
def fgclip_folder(tmp_path_factory) -> Path:
    """An FG-CLIP under the published names, as `finehard train` saves one."""
    folder = tmp_path_factory.mktemp("models") / "fgclip"
    tokenizer = make_tokenizer(TEXTS, SMALL.vocabulary)
    torch.manual_seed(0)
    model = fgclip.build(scratch_clip(SMALL, len(tokenizer)))
    torch.nn.init.normal_(model.text_filip_projection.weight)
    fgclip.save(model, folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "clip"
    tokenizer = make_tokenizer(TEXTS, SMALL.vocabulary)
    torch.manual_seed(1)
    CLIPModel(scratch_clip(SMALL, len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder


def _gemma_tokenizer() -> Siglip2Tokenizer:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    trained.train_from_iterator((t.lower() for t in TEXTS), trainer)
    state = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in state["merges"]]
    return Siglip2Tokenizer(
        vocab=state["vocab"], merges=merges, padding_side="right", add_eos_token=True
    )


def _text(size: int) -> dict[str, int]:
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1}
    return {"vocab_size": size, "max_position_embeddings": 64, **_TOWER, **ends}


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory) -> Path:
    """A SigLIP with its sentencepiece tokenizer."""
    sentencepiece = pytest.importorskip("sentencepiece")
    from transformers import SiglipTokenizer

    folder = tmp_path_factory.mktemp("models") / "siglip"
    folder.mkdir()
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([t.lower() for t in TEXTS] * 20), model_writer=trained,
        vocab_size=60, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(trained.getvalue())
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(2)
    vision = {"image_size": 32, "patch_size": 8, **_TOWER}
    config = SiglipConfig(text_config=_text(len(tokenizer)), vision_config=vision)
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def siglip2_folder(tmp_path_factory) -> Path:
    """A SigLIP 2 with any number of patches (NaFlex)."""
    folder = tmp_path_factory.mktemp("models") / "siglip2"
    tokenizer = _gemma_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    vision = {"patch_size": 8, "num_patches": 16, **_TOWER}
    config = Siglip2Config(text_config=_text(len(tokenizer)), vision_config=vision)
    Siglip2Model(config).save_pretrained(folder)
    Siglip2ImageProcessor(patch_size=8, max_num_patches=24).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def fgclip2_folder(tmp_path_factory) -> Path:
    """An FG-CLIP 2 as `finehard train` writes one, whose tokenizer knows Chinese; no two of its
    heads and position tables are alike."""
    folder = tmp_path_factory.mktemp("models") / "fgclip2"
    tokenizer = make_gemma_tokenizer([*TEXTS, *CHINESE], 600)
    torch.manual_seed(5)
    vision = {"patch_size": 8, "num_patches": 16, **_TOWER}
    model = siglip2.build(
        Siglip2Config(text_config=_text(len(tokenizer)), vision_config=vision)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    fgclip.save(model, folder)
    sample = SampleConfig(lowercase=True, patches=576)
    loadable.complete(folder, model, tokenizer, sample)
    (folder / SAMPLE).write_text(json.dumps(dataclasses.asdict(sample)))
    return folder


@pytest.fixture(scope="session")
def published_fgclip2_folder(fgclip2_folder, tmp_path_factory) -> Path:
    """The same weights as FG-CLIP 2 is published: another `model_type`, which asks for code to be
    run, and neither the trainer's scales nor a word about samples."""
    folder = tmp_path_factory.mktemp("models") / "published"
    shutil.copytree(fgclip2_folder, folder, ignore=shutil.ignore_patterns(SAMPLE, "*.py"))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "fgclip2",
        "architectures": ["Fgclip2Model"],
        "auto_map": {"AutoConfig": "configuration.Config", "AutoModel": "modeling.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    state = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if name not in siglip2.SCALES}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def open_clip_folder(tmp_path_factory) -> Path:
    """An open_clip model as `local-dir:` reads it."""
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("models") / "open_clip"
    folder.mkdir()
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {
                "image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16,
            },
            "text_cfg": {
                "context_length": 20, "vocab_size": 49408, "width": 16, "layers": 2, "heads": 2,
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.4, 0.5], "std": [0.2, 0.3, 0.2], "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(4)
    model = open_clip.CLIP(**{
        "embed_dim": 16,
        "vision_cfg": config["model_cfg"]["vision_cfg"],
        "text_cfg": config["model_cfg"]["text_cfg"],
    })  # fmt: skip
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder
