import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from finehard.errors import FinehardError
from finehard.fgclip import model as fgclip
from finehard.fgclip.packing import LONG, SHORT, pack

from .conftest import tiny_config

SHAPES = json.loads(
    (Path(__file__).parent / "data" / "fgclip_v1_vit_b16_state_dict_shapes.json").read_text()
)
TEXTS = [(SHORT, (118, 5, 9, 119)), (LONG, (118, 5, 7, 119)), (SHORT, (118, 5, 9, 3, 119))]


def full_size_config() -> CLIPConfig:
    """OpenAI's ViT-B/16: the defaults of CLIPConfig, but for the patch size."""
    return CLIPConfig(vision_config={"patch_size": 16})


def outputs(model: fgclip.FGCLIP) -> list[torch.Tensor]:
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    image, dense = model.encode_images(pixels)
    states = model.encode_texts(pack(TEXTS)[0])
    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.9]])
    region = model.region_features(dense, boxes, torch.tensor([1]))
    return [image, dense, model.short_features(states), model.long_features(states), region]


def test_published_state_dict_loads_completely():
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in SHAPES.items()}
        model = fgclip.from_state(full_size_config(), state)
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == SHAPES
    del state["logit_scale_hardneg"]
    with pytest.raises(FinehardError, match="logit_scale_hardneg"), torch.device("meta"):
        fgclip.from_state(full_size_config(), state)


def test_saved_folder_has_published_names_and_equal_outputs(tmp_path, clip_config):
    torch.manual_seed(1)
    model = fgclip.build(clip_config).eval()
    fgclip.save(model, tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    depth = [k for k in SHAPES if ".layers." not in k or int(k.split(".")[3]) < 2]
    assert names == set(depth)
    again = fgclip.load(tmp_path).eval()
    for ours, theirs in zip(outputs(model), outputs(again), strict=True):
        assert torch.equal(ours, theirs)


def test_pytorch_bin_checkpoint_loads(tmp_path, clip_config):
    model = fgclip.build(clip_config).eval()
    clip_config.save_pretrained(tmp_path)
    state = model.state_dict()
    old = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    torch.save({**state, **old}, tmp_path / "pytorch_model.bin")
    loaded = fgclip.load(tmp_path).eval()
    for ours, theirs in zip(outputs(model), outputs(loaded), strict=True):
        assert torch.equal(ours, theirs)


def test_plain_clip_loads_and_keeps_its_features(tmp_path, clip_config):
    torch.manual_seed(2)
    clip = CLIPModel(clip_config).eval()
    clip.save_pretrained(tmp_path)
    model = fgclip.load(tmp_path).eval()
    pixels = torch.randn(2, 3, 32, 32)
    ids = torch.tensor([[118, 5, 9, 119]])
    image, _ = model.encode_images(pixels, dense=False)
    text = model.short_features(model.encode_texts(pack([(SHORT, tuple(ids[0].tolist()))])[0]))
    torch.testing.assert_close(image, clip.get_image_features(pixels).pooler_output)
    torch.testing.assert_close(text, clip.get_text_features(ids).pooler_output)
    # And back: CLIPModel loads a saved FG-CLIP.
    fgclip.save(model, tmp_path / "again")
    back = CLIPModel.from_pretrained(tmp_path / "again").eval()
    torch.testing.assert_close(back.get_text_features(ids).pooler_output, text)


def test_long_text_parameters_are_initialised_from_clip(tmp_path, clip_config):
    CLIPModel(clip_config).save_pretrained(tmp_path)
    model = fgclip.load(tmp_path)
    tables = model.text_model.embeddings
    short = tables.position_embedding.weight
    for long in (tables.position_embedding_ori.weight, tables.position_embedding_res.weight):
        assert long.shape == (248, 16)
        assert torch.equal(long[:21], short[:21])
        assert torch.equal(long[20::4], short[20:])
        torch.testing.assert_close(long[23], short[20] / 4 + short[21] * 3 / 4)
        torch.testing.assert_close(long[247], short[76] + (short[76] - short[75]) * 3 / 4)
    assert torch.equal(model.text_filip_projection.weight, model.text_projection.weight)


def test_incomplete_model_folders_are_refused(tmp_path, clip_config):
    fgclip.save(fgclip.build(clip_config), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["vision_model.post_layernorm.bias"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(FinehardError, match="post_layernorm.bias"):
        fgclip.load(tmp_path)
    with pytest.raises(FinehardError, match="no CLIP, SigLIP 2 or FG-CLIP model in"):
        fgclip.load(tmp_path / "nowhere")


def test_split_last_layer_equals_the_whole_layer(clip_config):
    """The class token as in transformers; the map from the layer without attention."""
    model = fgclip.build(clip_config).eval()
    pixels = torch.randn(2, 3, 32, 32)
    out = model.vision_model(pixels, output_hidden_states=True)
    image, dense = model.encode_images(pixels)
    torch.testing.assert_close(image, model.visual_projection(out.pooler_output))
    before, layer = out.hidden_states[-2], model.vision_model.encoder.layers[-1]
    x = before + layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(before)))
    x = x + layer.mlp(layer.layer_norm2(x))
    x = model.visual_projection(model.vision_model.post_layernorm(x[:, 1:]))
    torch.testing.assert_close(dense.flatten(2).transpose(1, 2), x)


def test_gradient_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    model = fgclip.build(tiny_config()).train()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        sum(x.square().sum() for x in outputs(model)).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
