"""Practitioners' options: rates, freezing, averaged weights, limits of scales, a teacher, W&B."""

import json
import math
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPModel

from finehard.errors import UsageError
from finehard.fgclip import losses as loss_functions
from finehard.fgclip.collapse import CollapseWatch
from finehard.fgclip.model import build
from finehard.fgclip.optimizer import make_optimizer, set_rate
from finehard.fgclip.train import train

from . import made_shards
from .conftest import tiny_config
from .test_train import config, losses, same_weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(made_shards.write(tmp_path_factory.mktemp("data") / "set", 50))


@pytest.fixture(scope="module")
def start(dataset, tmp_path_factory):
    """A model folder to begin from."""
    output = tmp_path_factory.mktemp("start")
    train(config(optimizer={"steps": 2}), [dataset], output)
    return str(output / "model")


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def changed(before, after) -> set[str]:
    a, b = weights(before), weights(after)
    return {name for name, value in a.items() if not torch.equal(value, b[name])}


TOWERS = {
    "vision": ("vision_model.", "visual_projection."),
    "text": ("text_model.", "text_projection.", "text_filip_projection."),
}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("tower", TOWERS)
def test_a_frozen_tower_is_not_touched(dataset, start, tmp_path, tower, parts):
    """Neither by gradients nor by weight decay; the other tower and all scales are trained."""
    optimizer = {"steps": 3, "freeze": tower, "weight_decay": 0.5, "accumulate": parts}
    train(config(optimizer=optimizer), [dataset], tmp_path, start)
    (other,) = set(TOWERS) - {tower}
    trained = changed(start, tmp_path / "model")
    assert not any(name.startswith(TOWERS[tower]) for name in trained)
    assert "logit_scale" in trained
    for prefix in TOWERS[other]:
        assert any(name.startswith(prefix) for name in trained), prefix


def test_parts_with_a_frozen_tower_have_the_same_loss(dataset, start, tmp_path):
    for parts in (1, 2):
        optimizer = {"steps": 4, "freeze": "vision", "accumulate": parts, "lr": 1e-4}
        train(config(optimizer=optimizer), [dataset], tmp_path / str(parts), start)
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    for step, row in one.items():
        assert two[step] == pytest.approx(row, rel=1e-4, abs=1e-4)


def test_each_tower_has_its_own_learning_rate():
    factors = {"lr_text": 0.5, "lr_vision": 0.1, "lr_heads": 10.0}
    model = build(tiny_config())
    optimizer = make_optimizer(model, config(optimizer=factors).optimizer)
    set_rate(optimizer, 2.0)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    named = {n: rates[id(p)] for n, p in model.named_parameters() if id(p) in rates}
    for name, rate in named.items():
        tower = name.partition(".")[0]
        assert rate == {"text_model": 1.0, "vision_model": 0.2}.get(tower, 20.0), name
    assert len(named) == sum(not n.endswith("k_proj.bias") for n, _ in model.named_parameters())


def test_a_rate_of_nothing_trains_nothing(dataset, start, tmp_path):
    optimizer = {"steps": 2, "lr_text": 0.0}
    train(config(optimizer=optimizer), [dataset], tmp_path, start)
    trained = changed(start, tmp_path / "model")
    assert not any(name.startswith("text_model.") for name in trained)
    assert {"text_projection.weight", "visual_projection.weight", "logit_scale"} < trained


EMA = {"steps": 6, "ema": 0.6}


@pytest.fixture(scope="module")
def averaged_run(dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("averaged")
    train(config(optimizer=EMA, run={"save_every": 1, "keep": 6}), [dataset], output)
    return output


def test_the_saved_model_has_the_averaged_weights(averaged_run):
    """Of the weights after each step, which checkpoints have; the first average is of step 1."""
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    folders = [averaged_run / "checkpoints" / f"step-{step:08d}" for step in range(1, 7)]
    steps = [weights(folder)[name].double() for folder in folders]
    saved = weights(averaged_run / "model")[name].double()
    assert (saved - steps[-1]).abs().max() > 1e-4
    average = torch.load(folders[0] / "trainer.pt")["ema"][name].double()
    for step, value in enumerate(steps[1:], 2):
        decay = min(0.6, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * value
    torch.testing.assert_close(saved, average, atol=1e-7, rtol=0)


def test_a_run_with_averaged_weights_resumes_exactly(averaged_run, dataset, tmp_path):
    shutil.copytree(averaged_run, tmp_path / "again")
    for step in (4, 5, 6):
        shutil.rmtree(tmp_path / "again" / "checkpoints" / f"step-{step:08d}")
    settings = config(optimizer=EMA, run={"save_every": 1, "keep": 6})
    train(settings, [dataset], tmp_path / "again")
    assert losses(tmp_path / "again") == losses(averaged_run)
    same_weights(averaged_run, tmp_path / "again", 0.0)


def test_evaluations_measure_the_averaged_weights(averaged_run, dataset, tmp_path):
    """And training goes on with its own."""
    run = {"save_every": 1, "keep": 6, "eval_every": 2}
    settings = config(optimizer=EMA, run=run)
    result = train(settings, [dataset], tmp_path, eval_data=[dataset])
    assert losses(tmp_path) == losses(averaged_run)
    from finehard.fgclip.evaluate import evaluate, find_shards, load, load_tokenizer

    model, tokenizer = load(tmp_path / "model"), load_tokenizer(tmp_path / "model")
    assert evaluate(model, tokenizer, find_shards([dataset]), settings.sample, workers=0) == (
        pytest.approx(result["evaluation"])
    )


def test_scales_stay_below_their_limit(dataset, tmp_path):
    optimizer = {"steps": 3, "max_scale": 10.0}
    train(config(optimizer=optimizer), [dataset], tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for name in ("logit_scale", "logit_scale_finegraind", "logit_scale_hardneg"):
        assert max(row[name] for row in rows) <= 10.0 + 1e-5


def test_imitation_is_the_divergence_from_the_teacher():
    torch.manual_seed(0)
    image, text = (torch.randn(5, 4).double() for _ in range(2))
    teacher_image, teacher_text = (torch.randn(5, 7).double() for _ in range(2))
    scale = torch.tensor(3.0).double()
    found = loss_functions.imitation(image, text, scale, teacher_image, teacher_text, elements=10)
    for row in range(5):
        p = torch.exp(teacher_text @ teacher_image[row])
        q = torch.exp(scale * (text @ image[row]))
        p, q = p / p.sum(), q / q.sum()
        assert found[row] == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-9)
    same = loss_functions.imitation(image, text, scale, scale * image, text)
    assert same.abs().max() < 1e-12


def distilled(dataset, output, teacher, **sections) -> dict[int, float]:
    objective = {"teacher": teacher, **sections.pop("objective", {})}
    train(config(objective=objective, **sections), [dataset], output)
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["distill"] for row in rows}


def test_a_model_becomes_like_its_teacher(dataset, start, tmp_path):
    """By nothing but the teacher, also in parts; the teacher itself is no nearer than 0."""
    only = {"long_weight": 1e-9, "short_weight": 1e-9, "region_weight": 0, "hard_weight": 0}
    found = {}
    for parts in (1, 2):
        optimizer = {"steps": 20, "accumulate": parts}
        sections = {"objective": only, "optimizer": optimizer}
        found[parts] = distilled(dataset, tmp_path / str(parts), start, **sections)
    assert found[1][20] < 0.7 * found[1][1]
    assert found[2] == pytest.approx(found[1], rel=1e-3, abs=1e-5)
    settings = config(objective={"teacher": start}, optimizer={"steps": 1})
    train(settings, [dataset], tmp_path / "itself", start)
    row = json.loads((tmp_path / "itself" / "log.jsonl").read_text().splitlines()[0])
    assert abs(row["distill"]) < 1e-5


def test_a_teacher_may_have_another_tokenizer_and_size(dataset, tmp_path):
    scratch = {"image_size": 48, "vocabulary": 600, "projection": 24}
    train(config(scratch=scratch, optimizer={"steps": 1}), [dataset], tmp_path / "teacher")
    teacher = str(tmp_path / "teacher" / "model")
    assert distilled(dataset, tmp_path / "out", teacher, optimizer={"steps": 2})[2] > 0


def test_a_teacher_of_another_backbone_is_refused(dataset, start, tmp_path):
    settings = config(model={"backbone": "siglip2"}, objective={"teacher": start})
    with pytest.raises(UsageError, match=r"objective.teacher: .* images of another kind"):
        train(settings, [dataset], tmp_path)


def test_a_plain_clip_model_can_be_the_teacher(dataset, start, tmp_path):
    from finehard.fgclip.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(start)
    CLIPModel(tiny_config(len(tokenizer))).save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    found = distilled(dataset, tmp_path / "out", str(tmp_path / "clip"), optimizer={"steps": 1})
    assert found[1] > 0


def test_missing_wandb_is_one_line_before_training(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"^run.wandb: wandb is missing: install finehard\[wandb"):
        train(config(run={"wandb": "project"}), [dataset], tmp_path)


def test_the_log_goes_to_wandb(dataset, tmp_path, monkeypatch):
    """Offline; a resumed run goes on as the same one."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for _ in range(2):
        train(config(run={"wandb": "project"}, optimizer={"steps": 2}), [dataset], tmp_path)
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    name = (tmp_path / "wandb-id").read_text()
    assert all(file.name == f"run-{name}.wandb" for file in files)
    assert b"train/loss" in max(files, key=lambda f: f.stat().st_size).read_bytes()


def test_a_loss_that_stays_at_guessing_is_told_once():
    watch = CollapseWatch(images=64, warmup=5)
    stuck = {"loss": 9.0, "long": math.log(64) * 1.005, "short": math.log(64)}
    told = [watch.warning(step, stuck) for step in range(1, 40)]
    assert [i for i, line in enumerate(told, 1) if line] == [15]
    assert told[14].startswith("step 15: ") and "ln(64) = 4.16" in told[14]
    assert "\n" not in told[14]


def test_a_loss_that_falls_is_no_collapse():
    watch = CollapseWatch(images=64, warmup=0)
    for step in range(1, 40):
        learning = {"long": math.log(64), "short": math.log(64) * (1 if step % 9 else 0.9)}
        assert watch.warning(step, learning) == ""
        assert watch.warning(step, {"region": math.log(64)}) == ""
