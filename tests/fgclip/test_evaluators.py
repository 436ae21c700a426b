"""Evaluators by name, and a user's own in a file beside the config."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from finehard.errors import FinehardError, UsageError
from finehard.fgclip import evaluate, train
from finehard.fgclip.config import RunConfig, load_train_config
from finehard.fgclip.evaluators import EVALUATORS

from . import made_shards
from .test_train import TINY

MINE = """
import torch

def alignment(model, data):
    features = data.features(model)
    yield "alignment", (features.images * features.long).sum(-1).mean()

class RedPixels:
    \"\"\"Own pass over the batches, and a state of its own.\"\"\"

    def __init__(self, name):
        self.name = name

    def __call__(self, model, data):
        assert not model.training and not torch.is_grad_enabled()
        total = sum(float(batch.pixels[:, 0].mean((1, 2)).sum()) for batch in data.batches())
        yield self.name, total / data.images

red = RedPixels("red")

def broken(model, data):
    yield "x", 1 / 0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_evaluators.py").write_text(MINE)
    made_shards.write(tmp_path / "set", 20)
    monkeypatch.delitem(__import__("sys").modules, "my_evaluators", raising=False)
    monkeypatch.setattr("finehard.registry._finder.folders", [])
    monkeypatch.setattr("finehard.registry._finder.sources", {})
    return tmp_path


def run_config(folder, *evaluators):
    run = {**TINY["run"], "eval_every": 1, "eval_samples": 8, "evaluators": list(evaluators)}
    optimizer = {**TINY["optimizer"], "steps": 2}
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump({**TINY, "optimizer": optimizer, "run": run}))
    return str(path)


def train_with(folder, *evaluators):
    path, data = run_config(folder, *evaluators), str(folder / "set")
    arguments = ["--data", data, "--output", str(folder / "out"), "--config", path]
    return train.main([*arguments, "--eval-data", data])


def test_users_evaluators_run_during_training_and_after(folder, capsys):
    assert train_with(folder, "hard_negatives", "my_evaluators:alignment", "my_evaluators:red") == 0
    rows = [json.loads(x) for x in (folder / "out" / "log.jsonl").read_text().splitlines()]
    first, last = (r for r in rows if r["group"] == "eval")
    for row, images in ((first, 8), (last, 20)):
        assert {"alignment", "red", "hard_top1"} < set(row) and "region_top1" not in row
        assert row["images"] == images and -1 <= row["alignment"] <= 1
    assert "alignment: " in capsys.readouterr().err


def test_evaluate_command_takes_evaluators_by_name(folder, capsys, monkeypatch):
    train_with(folder, "retrieval")
    monkeypatch.chdir(folder)
    arguments = ["--model", "out/model", "--data", "set", "--workers", "0", "--output", "m.json"]
    evaluate.main([*arguments, "--evaluators", "region_classification", "my_evaluators:red"])
    metrics = json.loads((folder / "m.json").read_text())
    assert set(metrics) == {
        "region_top1", "region_top5", "regions", "classes", "red", "images", "skipped",
    }  # fmt: skip
    assert metrics["images"] == 20 and "red: " in capsys.readouterr().out


def test_unknown_evaluators_are_refused_before_training(folder):
    for spec, message in (
        ("retrievel", "run.evaluators: 'retrievel' is not one of retrieval, "),
        ("my_evaluators:nothing", "run.evaluators: there is no 'nothing' in .*my_evaluators.py"),
        ("no_such_file:x", "run.evaluators: cannot import no_such_file"),
    ):
        with pytest.raises(UsageError, match=message):
            train_with(folder, spec)
    assert not (folder / "out").exists()


def test_failing_evaluators_are_named(folder):
    with pytest.raises(FinehardError, match="evaluator my_evaluators:broken: ZeroDivisionError"):
        train_with(folder, "my_evaluators:broken")


def test_features_are_computed_once(folder, monkeypatch):
    config = load_train_config(run_config(folder, "retrieval"))
    train.train(config, [str(folder / "set")], folder / "out")
    calls = []
    model = evaluate.load(folder / "out" / "model")
    real = model.encode_images
    monkeypatch.setattr(model, "encode_images", lambda *a, **k: calls.append(1) or real(*a, **k))
    shards = evaluate.find_shards([str(folder / "set")])
    tokenizer = evaluate.load_tokenizer(folder / "out" / "model")
    evaluate.evaluate(model.train(), tokenizer, shards, config.sample, batch_size=20)
    assert len(calls) == 1 and model.training and torch.is_grad_enabled()


def test_the_evaluator_from_the_page_runs(folder):
    page = (Path(__file__).parents[2] / "docs" / "adding-a-stage.md").read_text("utf-8")
    section = page.partition("\n## An evaluator\n")[2].partition("\n## ")[0]
    code = section.partition("```python\n")[2].partition("```")[0]
    named = yaml.safe_load(section.partition("```yaml\n")[2].partition("```")[0])
    (folder / "my_evaluators.py").write_text(code)
    assert train_with(folder, *named["run"]["evaluators"]) == 0
    rows = [json.loads(x) for x in (folder / "out" / "log.jsonl").read_text().splitlines()]
    assert all("alignment" in row for row in rows if row["group"] == "eval")


def test_all_evaluators_run_where_a_config_names_none():
    assert tuple(EVALUATORS) == RunConfig().evaluators
