"""Training the SigLIP 2 backbone on shards, with FG-CLIP 2's objective."""

import io
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModel, AutoProcessor, AutoTokenizer, Siglip2Model

from finehard.cli.main import main
from finehard.errors import UsageError
from finehard.fgclip import objective as objectives
from finehard.fgclip import siglip2
from finehard.fgclip.batch import Batch
from finehard.fgclip.config import as_dict, parse_train_config
from finehard.fgclip.data import Limits, Read, collate
from finehard.fgclip.model import load
from finehard.fgclip.naflex import Naflex, batch_of, picture
from finehard.fgclip.objective import Objective, ObjectiveConfig
from finehard.fgclip.packing import LONG, SHORT
from finehard.fgclip.padded import pad_texts
from finehard.fgclip.targets import SampleConfig, select
from finehard.fgclip.tokenizer import (
    Tokens,
    load_tokenizer,
    make_gemma_tokenizer,
    make_tokenizer,
)
from finehard.fgclip.train import train

from . import made_shards
from .test_siglip2 import config as tiny
from .test_train import command, environment, losses, same_weights
from .test_train import config as clip_config

OBJECTIVE = {
    "global_loss": "sigmoid", "region_weight": 0.2, "tic_weight": 0.1, "pair_weight": 3.0,
    "every_weight": 0.6, "cmr_weight": 0.4, "scales": "hundred",
}  # fmt: skip


def config(**sections):
    values = {
        "model": {"backbone": "siglip2"},
        "scratch": {
            "image_size": 64, "patch_size": 16, "width": 32, "layers": 2, "heads": 2,
            "text_layers": 2, "text_heads": 2, "vocabulary": 500,
        },
        "sample": {"lowercase": True, "patches": 128},
        "objective": OBJECTIVE,
        "optimizer": {"batch_size": 6, "steps": 8, "epochs": 10, "lr": 1e-3, "warmup_steps": 2},
        "run": {"precision": "fp32", "workers": 0, "log_every": 1, "save_every": 3},
    }  # fmt: skip
    return parse_train_config(
        {name: {**values.get(name, {}), **sections.get(name, {})} for name in values}, "test"
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(made_shards.write(tmp_path_factory.mktemp("data") / "set", 30))


@pytest.fixture(scope="module")
def whole_run(dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    train(config(), [dataset], output, eval_data=[dataset])
    return output


def test_it_learns_and_logs_every_loss(whole_run):
    found = losses(whole_run)
    assert list(found) == list(range(1, 9))
    assert {"loss", "long", "short", "region", "hard", "cmr"} <= set(found[1])
    assert found[8]["loss"] < found[1]["loss"]
    assert "region classification" in (whole_run / "model" / "README.md").read_text()


@pytest.mark.slow
def test_resuming_after_sigterm_is_exact_to_the_byte(whole_run, dataset, tmp_path):
    def stop_after_some_steps():
        while not (tmp_path / "log.jsonl").exists() or len(losses(tmp_path)) < 4:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop_after_some_steps)
    thread.start()
    result = train(config(), [dataset], tmp_path)
    thread.join()
    assert result["stopped"] and 4 <= result["step"] < 8
    assert train(config(run={"workers": 1}), [dataset], tmp_path)["step"] == 8
    assert losses(tmp_path) == losses(whole_run)
    same_weights(whole_run, tmp_path, 0.0)


@pytest.mark.slow
def test_parts_of_a_step_change_nothing(whole_run, dataset, tmp_path):
    """But for the number of patches, which is a part's own: here all images fill 128."""
    train(config(optimizer={"accumulate": 3}), [dataset], tmp_path)
    for step, values in losses(whole_run).items():
        assert losses(tmp_path)[step] == pytest.approx(values, rel=1e-4), step


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(dataset, tmp_path):
    settings = tmp_path / "settings.yaml"
    values = as_dict(config(optimizer={"steps": 4}))
    values["objective"]["ranks"] = "all"
    values["optimizer"]["betas"] = [0.9, 0.999]
    values["run"]["evaluators"] = []
    settings.write_text(yaml.safe_dump(values))
    for processes in (1, 2):
        output = tmp_path / str(processes)
        subprocess.run(command(dataset, output, settings, processes), check=True, env=environment())
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    for step, expected in one.items():
        assert two[step] == pytest.approx(expected, rel=1e-4), step


def test_bf16_trains(dataset, tmp_path):
    result = train(config(run={"precision": "bf16"}, optimizer={"steps": 2}), [dataset], tmp_path)
    assert result["step"] == 2 and np.isfinite(result["loss"])


def test_a_folder_says_which_backbone_it_has(whole_run, dataset, tmp_path):
    model = str(whole_run / "model")
    started = parse_train_config(
        {"optimizer": {"batch_size": 6, "steps": 1}, "objective": OBJECTIVE,
         "sample": {"patches": 128}, "run": {"precision": "fp32", "workers": 0}}, "test",
    )  # fmt: skip
    assert train(started, [dataset], tmp_path / "a", model=model)["step"] == 1
    assert isinstance(load(tmp_path / "a" / "model"), siglip2.FGCLIP2)
    with pytest.raises(UsageError, match=r"model\.backbone is clip, but .* is siglip2"):
        train(clip_config(model={"backbone": "clip"}), [dataset], tmp_path / "b", model=model)


@torch.no_grad()
def test_the_folder_loads_elsewhere_with_equal_features(whole_run):
    folder = whole_run / "model"
    model, tokenizer = load(folder).eval(), load_tokenizer(folder)
    data = picture_bytes((300, 200))
    patches = batch_of([picture(data, Naflex(16, 128), [])[0]], 16)
    image, dense = model.encode_images(patches)
    texts, _ = pad_texts(
        [(SHORT, Tokens(tokenizer)("a red ball", 64)), (LONG, Tokens(tokenizer)("A ball.", 196))],
        (64, 196), tokenizer.pad_token_id,
    )  # fmt: skip
    states = model.encode_texts(texts)
    box = torch.tensor([[0.1, 0.2, 0.55, 0.85]])

    theirs = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(folder)
    image_file = Image.open(io.BytesIO(data))  # the processor's default is 256, whatever it loaded
    inputs = processor(images=image_file, max_num_patches=128, return_tensors="pt")
    inputs["pixel_attention_mask"] = inputs["pixel_attention_mask"].bool()
    short = AutoTokenizer.from_pretrained(folder)(
        ["a red ball"], padding="max_length", max_length=64, return_tensors="pt"
    )["input_ids"]
    assert torch.equal(short, texts.short)
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(theirs.get_image_features(**inputs).pooler_output, image, **close)
    for kind, expected in (
        ("short", model.short_features(states[:1])),
        ("box", model.region_text_features(states[:1])),
    ):
        found = theirs.get_text_features(short, walk_type=kind).pooler_output
        torch.testing.assert_close(found, expected, **close)
    found = theirs.get_text_features(texts.long, walk_type="long").pooler_output
    torch.testing.assert_close(found, model.long_features(states[1:]), **close)
    regions = theirs.get_image_region_features(
        **inputs, image_sizes=[(200, 300)], region_infos=[[[30, 40, 165, 170]]]
    )
    expected = model.region_features(dense, box, torch.tensor([0]))
    torch.testing.assert_close(regions[0], expected, **close)
    plain = AutoModel.from_pretrained(folder).eval()
    assert type(plain) is Siglip2Model
    torch.testing.assert_close(plain.get_image_features(**inputs).pooler_output, image, **close)


@torch.no_grad()
def test_the_lines_of_the_page_run(whole_run, tmp_path, capsys):
    page = (Path(__file__).parents[2] / "docs" / "using-the-model.md").read_text("utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "fgclip2" in b)
    (tmp_path / "a.png").write_bytes(picture_bytes((300, 200)))
    for name, path in (("out/fgclip2/model", whole_run / "model"), ("photo.jpg", "a.png")):
        block = block.replace(name, str(tmp_path / path))
    exec(block, {})
    assert "torch.Size([1, 1])" in capsys.readouterr().out


def picture_bytes(size):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def test_a_heat_map_is_drawn_and_open_clip_refused(whole_run, tmp_path, capsys):
    (tmp_path / "image.png").write_bytes(picture_bytes((320, 180)))
    folder = str(whole_run / "model")
    arguments = [str(tmp_path / "image.png"), "-o", str(tmp_path / "out.png")]
    assert main(["show", "--model", folder, "--text", "a red ball", *arguments]) == 0
    assert Image.open(tmp_path / "out.png").size == (320, 180)
    assert main(["export", "--model", folder, "--output", str(tmp_path / "x")]) == 2
    assert "open_clip has no NaFlex images" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def published(model: siglip2.FGCLIP2, samples: list[Read], tokens: Tokens) -> dict:
    """Features of every text of `samples` by the published way: each kind in a call of its own,
    equal texts again and again, boxes on each image's own map."""
    encode = {
        "short": (64, model.short_features), "long": (196, model.long_features),
        "box": (64, model.region_text_features),
    }  # fmt: skip

    def texts(kind, values):
        length, head = encode[kind]
        ids = torch.zeros((len(values), length), dtype=torch.int64)
        for row, value in zip(ids, values, strict=True):
            found = tokens(value, length)
            row[: len(found)] = torch.tensor(found)
        tables = model.text_model.embeddings
        rows = tables.positions()[64:] if kind == "long" else tables.positions()[:64]
        hidden = tables.token_embedding(ids) + rows
        for layer in model.text_model.encoder.layers:
            hidden = layer(hidden, None)
        return head(model.text_model.final_layer_norm(hidden)[:, -1])

    regions = [r for s in samples for r in s.targets.regions]
    hard = [r for r in regions if r.negatives]
    return {
        "short": texts("short", [s.targets.short for s in samples]),
        "long": texts("long", [s.targets.long for s in samples]),
        "region_text": texts("box", [r.text for r in regions]),
        "positive": texts("box", [r.positive for r in hard]),
        "negative": [texts("box", list(r.negatives)) for r in hard],
    }


def test_distinct_texts_give_the_loss_of_every_text_padded():
    torch.manual_seed(3)
    rows = [made_shards.sample(n) for n in range(6)]
    words = [t for _, r in rows for t in (r["short_caption"], r["long_caption"])]
    tokenizer = make_gemma_tokenizer(words, 400)
    tokens = Tokens(tokenizer)
    model = siglip2.build(tiny(vocab=len(tokenizer), patch=16))
    samples = []
    for data, row in rows:
        targets = select(row, SampleConfig(lowercase=True), random.Random(1))
        boxes = [r.box for r in targets.regions]
        samples.append(Read("k", picture(data, Naflex(16, 128), boxes)[0], targets))
    batch = collate(samples, [], tokens, Limits(0, 64, 196, 16))
    assert isinstance(batch, Batch)
    assert (
        len(batch.packing.short) < len(batch.short) + len(batch.regions) + batch.negatives.numel()
    )
    objective = Objective(model, ObjectiveConfig(**OBJECTIVE)).train()
    ours = objective(batch)
    theirs = published(model, samples, tokens)

    def unit(values):
        return torch.nn.functional.normalize(values.float(), dim=-1)

    most = ours.negative.shape[1]
    padded = [torch.cat([n, n[:1].expand(most - len(n), -1)]) for n in theirs["negative"]]
    again = ours._replace(
        **{k: unit(theirs[k]) for k in ("short", "long", "region_text", "positive")},
        negative=unit(torch.stack(padded)),
    )
    labels = objectives.labels_of(batch, 10)
    gradients = []
    for features in (ours, again):
        objective.threshold.zero_()
        model.zero_grad()
        loss = objective.losses(features, labels)["loss"]
        loss.backward(retain_graph=True)
        gradients.append(
            [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]
        )
    assert len(gradients[0]) == len(gradients[1]) > 50
    torch.testing.assert_close(gradients[0][0], gradients[1][0], atol=1e-5, rtol=1e-5)
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.text(max_size=40), max_size=5), st.text(max_size=60))
def test_any_text_has_an_end_and_known_tokens(texts, text):
    tokenizer = make_gemma_tokenizer(texts, 300)
    ids = Tokens(tokenizer)(text, 64)
    assert ids[-1] == tokenizer.eos_token_id == 1 and len(ids) <= 64
    assert all(0 <= i < len(tokenizer) for i in ids)


@pytest.mark.parametrize("make", [make_tokenizer, make_gemma_tokenizer])
def test_a_tokenizers_last_use_cuts_and_pads_no_text(make, tmp_path):
    """Tokenizers are saved with the length and the padding of their last call."""
    tokenizer = make(["a red ball and a blue ball"] * 3, 700)
    tokenizer(["a red ball"], padding="max_length", truncation=True, max_length=8)
    tokenizer.save_pretrained(tmp_path)
    tokens = Tokens(load_tokenizer(tmp_path))
    assert len(tokens("a red ball's colour", 248)) > 8
    assert tokens.padding not in tokens("a red", 248)[:-1]


def test_the_tokenizer_is_the_same_when_saved_and_made_again(tmp_path):
    texts = ["A red ball", "a red square, caf\u00e9", "two red balls"] * 3
    made, again = (make_gemma_tokenizer(t, 320) for t in (texts, texts[::-1]))
    made.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    state = json.loads(made.backend_tokenizer.to_str())
    assert json.loads(again.backend_tokenizer.to_str())["model"] == state["model"]
    for text in (*texts, "a RED ball", "\u00fcber \u7ea2 ball", "  two  spaces ", ""):
        assert Tokens(loaded)(text, 64) == Tokens(made)(text, 64)
        assert loaded.decode(Tokens(loaded)(text, 64), skip_special_tokens=True) == text.lower()
    assert len(Tokens(made)("a red ball", 64)) < len("a red ball")
