"""A trained model's folder loads elsewhere, with equal features, by the lines of the docs."""

import importlib.util
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import embedding, layer_norm, linear
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPModel,
    CLIPVisionModel,
    pipeline,
)

from finehard.cli.main import main
from finehard.fgclip import evaluate
from finehard.fgclip.model import load
from finehard.fgclip.objective import MEAN, STD
from finehard.fgclip.packing import LONG, SHORT, pack
from finehard.fgclip.tokenizer import Tokens, load_tokenizer
from finehard.fgclip.train import train
from finehard.fgclip.transform import square

from . import made_shards
from .test_train import config

PAGE = Path(__file__).parents[2] / "docs" / "using-the-model.md"
SHORT_TEXT = "a red ball"
LONG_TEXT = "a red ball and a blue square on a gray ground, " * 12 + "seen from above"
CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model of a short run."""
    root = tmp_path_factory.mktemp("run")
    data = str(made_shards.write(root / "set", 40))
    train(config(optimizer={"steps": 12}), [data], root / "out", eval_data=[data])
    return root / "out" / "model"


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A PNG file: a JPEG may be decoded at another scale."""
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.open(io.BytesIO(made_shards.sample(3)[0])).save(path)
    return path


@pytest.fixture(scope="module")
def ours(folder, picture):
    """The features that the trainer computes: image, short, long, region, dense."""
    model, tokens = load(folder).eval(), Tokens(load_tokenizer(folder))
    limits = evaluate.limits_of(model)
    pixels, _ = square(picture.read_bytes(), limits.side, "squash", [])
    mean, std = (torch.tensor(x)[:, None, None] * 255 for x in (MEAN, STD))
    with torch.no_grad():
        image, dense = model.encode_images(((torch.from_numpy(pixels) - mean) / std)[None])
        texts = [(SHORT, tokens(SHORT_TEXT, limits.short)), (LONG, tokens(LONG_TEXT, limits.long))]
        assert limits.short < len(texts[1][1]) <= limits.long
        states = model.encode_texts(pack(texts)[0])
        box = torch.tensor([[0.1, 0.2, 0.6, 0.9]])
        return {
            "image": image,
            "short": model.short_features(states[:1]),
            "long": model.long_features(states[1:]),
            "region": model.region_features(dense, box, torch.tensor([0])),
            "dense": dense.flatten(2).transpose(1, 2),
        }


def long_ids(tokenizer, length=248):
    return tokenizer([LONG_TEXT], padding="max_length", max_length=length, truncation=True,
                     return_tensors="pt")["input_ids"]  # fmt: skip


def same(theirs, expected):
    torch.testing.assert_close(torch.as_tensor(theirs).detach(), expected, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForCausalLM])
def test_auto_classes_load_the_whole_model(auto, folder, picture, ours):
    model = auto.from_pretrained(folder, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(folder)
    image = processor(images=Image.open(picture), return_tensors="pt")
    short = processor(text=[SHORT_TEXT, "x"], padding=True, return_tensors="pt")
    same(model.get_image_features(**image).pooler_output, ours["image"])
    same(model.get_text_features(**short).pooler_output[:1], ours["short"])
    ids = long_ids(processor.tokenizer)
    long = model.get_text_features(ids, walk_short_pos=False)
    same(long.pooler_output, ours["long"])
    same(model.get_image_dense_features(**image), ours["dense"])
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    box = torch.tensor([[0.1, 0.2, 0.6, 0.9]]) * side
    same(model.get_image_box_roi_features(**image, box_info=[box]), ours["region"])
    with pytest.raises(ValueError, match="at most 77 tokens"):
        model.get_text_features(ids)


@torch.no_grad()
def test_clip_model_without_remote_code_has_the_short_features(folder, picture, ours):
    model = AutoModel.from_pretrained(folder).eval()
    assert type(model) is CLIPModel
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(text=[SHORT_TEXT], images=Image.open(picture), return_tensors="pt")
    output = model(**inputs)
    same(output.text_embeds, ours["short"] / ours["short"].norm())
    same(output.image_embeds, ours["image"] / ours["image"].norm())


@torch.no_grad()
def test_llava_loads_the_folder_as_its_vision_tower(folder, picture):
    """LLaVA-1.5's tower: the patches of the last layer but one, without the class token."""
    processor = CLIPImageProcessor.from_pretrained(folder)
    tower = CLIPVisionModel.from_pretrained(folder)
    pixels = processor(Image.open(picture), return_tensors="pt").pixel_values
    side = tower.config.image_size
    assert pixels.shape[-2:] == (side, side)
    assert processor.crop_size["height"] == side
    states = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    expected = load(folder).eval().vision_model(pixels, output_hidden_states=True)
    assert states.shape[1] == (side // tower.config.patch_size) ** 2
    assert torch.allclose(states, expected.hidden_states[-2][:, 1:], atol=1e-5)


@pytest.mark.parametrize("trust", [None, True])
def test_zero_shot_pipeline_scores_as_the_features_do(folder, picture, ours, trust):
    classify = pipeline(
        "zero-shot-image-classification", str(folder), trust_remote_code=trust, device="cpu"
    )
    labels = [SHORT_TEXT, "a blue square"]
    scores = classify(str(picture), candidate_labels=labels, hypothesis_template="{}")
    model = load(folder).eval()
    tokens = Tokens(load_tokenizer(folder))
    with torch.no_grad():
        texts = model.short_features(
            model.encode_texts(pack([(SHORT, tokens(t, 77)) for t in labels])[0])
        )
        cosines = torch.cosine_similarity(texts, ours["image"])
        expected = (cosines * model.logit_scale.exp()).softmax(0)
    found = {s["label"]: s["score"] for s in scores}
    same([found[label] for label in labels], expected)


def test_the_tokenizer_truncates_at_the_length_of_short_texts(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_max_length == 77
    assert len(tokenizer(LONG_TEXT, truncation=True)["input_ids"]) == 77


def test_sentence_transformers_load_the_folder(folder, picture, ours):
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    same(model.encode([SHORT_TEXT]), ours["short"])
    same(model.encode([Image.open(picture)]), ours["image"])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["short", "long"])
def test_open_clip_loads_the_export(kind, folder, picture, ours, tmp_path):
    library = pytest.importorskip("open_clip")
    assert main(["export", "--model", str(folder), "--output", str(tmp_path), "--texts", kind]) == 0
    model, transform = library.create_model_from_pretrained(f"local-dir:{tmp_path}")
    tokenizer = library.get_tokenizer(f"local-dir:{tmp_path}")
    text = SHORT_TEXT if kind == "short" else LONG_TEXT
    same(model.eval().encode_text(tokenizer([text])), ours[kind])
    pixels, _ = square(picture.read_bytes(), model.visual.image_size[0], "squash", [])
    mean, std = (torch.tensor(x)[:, None, None] * 255 for x in (MEAN, STD))
    same(model.encode_image(((torch.from_numpy(pixels) - mean) / std)[None]), ours["image"])
    theirs = transform(Image.open(picture))  # resized by Pillow: within one of 255
    assert (theirs * std / 255 + mean / 255 - torch.from_numpy(pixels) / 255).abs().max() < 2 / 255


@torch.no_grad()
def test_the_published_code_would_load_the_folder(folder, ours):
    """Its names, its config fields, its masks over both long position tables, in plain torch."""
    values = json.loads((folder / "config.json").read_text())
    text, state = values["text_config"], load_file(folder / "model.safetensors")
    assert state["text_model.embeddings.position_embedding_res.weight"].shape[0] == 248
    width, heads = text["hidden_size"], text["num_attention_heads"]
    ids = long_ids(AutoTokenizer.from_pretrained(folder))
    first, rest = torch.zeros(248, 1), torch.zeros(248, 1)
    first[:20], rest[20:] = 1, 1
    table = "text_model.embeddings.position_embedding"
    states = embedding(ids, state["text_model.embeddings.token_embedding.weight"])
    states = states + state[f"{table}_ori.weight"] * first + state[f"{table}_res.weight"] * rest
    eps = text["layer_norm_eps"]

    def norm(x, name):
        return layer_norm(x, (width,), state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def dense(x, name):
        return linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    assert text["hidden_act"] == "quick_gelu"
    causal = torch.full((248, 248), float("-inf")).triu(1)
    for number in range(text["num_hidden_layers"]):
        layer = f"text_model.encoder.layers.{number}"
        x = norm(states, f"{layer}.layer_norm1")
        q, k, v = (
            dense(x, f"{layer}.self_attn.{n}_proj").unflatten(-1, (heads, -1)).transpose(1, 2)
            for n in "qkv"
        )
        weights = (q @ k.transpose(-1, -2) / (width // heads) ** 0.5 + causal).softmax(-1)
        x = dense((weights @ v).transpose(1, 2).flatten(2), f"{layer}.self_attn.out_proj")
        states = states + x
        x = dense(norm(states, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
        states = states + dense(x * torch.sigmoid(1.702 * x), f"{layer}.mlp.fc2")
    states = norm(states, "text_model.final_layer_norm")
    end = (ids[0] == text["eos_token_id"]).int().argmax()
    same(states[:, end] @ state["text_filip_projection.weight"].T, ours["long"])


def test_the_model_card_has_data_recipe_and_figures(folder):
    header, text = (folder / "README.md").read_text("utf-8").split("---\n", 2)[1:]
    assert yaml.safe_load(header)["pipeline_tag"] == "zero-shot-image-classification"
    assert "40 samples of `set`." in text and "12 steps from random weights" in text
    recipe = re.search(r"```yaml\n(.*?)```", text, re.S)[1]
    assert yaml.safe_load(recipe)["optimizer"]["lr"] == 1e-3
    assert "hard negatives," in text and "40 images, 0 skipped" in text
    assert str(folder.parent) not in text


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)


@torch.no_grad()
def test_the_lines_of_the_page_run(folder, picture, ours, tmp_path):
    exported = tmp_path / "open_clip"
    main(["export", "--model", str(folder), "--output", str(exported)])
    features = []
    for block in blocks("python"):
        if "fgclip2" in block:
            continue
        assert len([line for line in block.splitlines() if line]) <= 6
        module = re.search(r"import (open_clip)|from (sentence_transformers)", block)
        if module and importlib.util.find_spec(module[1] or module[2]) is None:
            continue
        for name, path in (("run/model", folder), ("open_clip", exported)):
            block = block.replace(f"out/{name}", str(path))
        scope = {}
        exec(block.replace("photo.jpg", str(picture)), scope)
        features.append(scope.get("feature"))
    for feature, name in zip(features, ("image", "short", "long", "region"), strict=False):
        assert feature.shape == ours[name].shape
        if name != "long":  # the page has another
            same(feature, ours[name])


def test_show_draws_a_heat_map(folder, picture, tmp_path, capsys):
    out = tmp_path / "out.png"
    arguments = ["show", "--model", str(folder), "--text", SHORT_TEXT, str(picture), "-o", str(out)]
    assert any("finehard show --model" in block for block in blocks("bash"))
    assert main(arguments) == 0
    drawn, original = Image.open(out), Image.open(picture)
    assert drawn.size == original.size
    assert np.abs(np.asarray(drawn, float) - np.asarray(original.convert("RGB"), float)).max() > 20
    assert "cosines from" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--text", "x", "IMAGE"], "needs --model and --text"),
        (["--model", "MODEL", "--text", " ", "IMAGE"], "the text is empty"),
        (["--model", "MODEL", "--text", "x", "missing.png"], "missing.png"),
        (["--model", "MODEL", "--text", "x", "TEXTFILE"], "cannot be shown"),
        (["--model", "/nowhere", "--text", "x", "IMAGE"], "no such folder"),
        (["DATASET"], "show what"),
    ],
)
def test_a_heat_map_that_cannot_be_drawn_is_one_line(
    arguments, line, folder, picture, tmp_path, capsys
):
    (tmp_path / "a.txt").write_text("no image")
    known = {"IMAGE": picture, "MODEL": folder, "TEXTFILE": tmp_path / "a.txt"}
    code = main(["show", *(str(known.get(a, a)) for a in arguments)])
    error = capsys.readouterr().err
    assert code in (1, 2) and line in error and error.strip().count("\n") == 0, error
