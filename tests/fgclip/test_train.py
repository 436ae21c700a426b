"""Training on real shards: it learns, resumes exactly, and equals itself in two processes."""

import dataclasses
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import CLIPModel

from finehard.errors import FinehardError, UsageError
from finehard.fgclip import evaluate
from finehard.fgclip.config import as_dict, load_train_config, parse_train_config
from finehard.fgclip.model import build, load, save
from finehard.fgclip.optimizer import learning_rate, make_optimizer
from finehard.fgclip.train import STOPPED, main, train

from . import made_shards
from .conftest import tiny_config
from .test_data import broken

TINY = {
    "scratch": {
        "image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 2, "text_width": 32,
        "text_layers": 2, "text_heads": 2, "projection": 16, "vocabulary": 700,
    },
    "optimizer": {
        "batch_size": 8, "steps": 20, "epochs": 10, "lr": 1e-3, "warmup_steps": 2,
    },
    "run": {"precision": "fp32", "workers": 0, "log_every": 1, "save_every": 6},
}  # fmt: skip


def config(**sections):
    values = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in TINY | sections}
    return parse_train_config(values, "test")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return str(made_shards.write(tmp_path_factory.mktemp("data") / "set", 50))


@pytest.fixture(scope="module")
def whole_run(dataset, tmp_path_factory):
    """The folder of an uninterrupted run of 20 steps, over several epochs."""
    output = tmp_path_factory.mktemp("whole")
    train(config(), [dataset], output)
    return output


def losses(output: Path) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    names = ("loss", "long", "short", "region", "hard", "every", "cmr", "tic", "grad_norm")
    train_rows = [r for r in rows if r["group"] == "train"]
    assert len({r["step"] for r in train_rows}) == len(train_rows)
    return {r["step"]: {n: r[n] for n in names if n in r} for r in train_rows}


def test_a_run_logs_all_losses_and_exports_a_model(whole_run, dataset):
    rows = [json.loads(line) for line in (whole_run / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == list(range(1, 21))
    names = "loss long short region hard grad_norm lr images_per_s tokens_per_s data_wait"
    assert set(names.split()) < set(rows[0])
    assert {"logit_scale", "logit_scale_finegraind", "logit_scale_hardneg"} < set(rows[0])
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert any((whole_run / "tensorboard").iterdir())
    saved = sorted(p.name for p in (whole_run / "checkpoints").iterdir())
    assert saved == ["step-00000018", "step-00000020"]
    CLIPModel.from_pretrained(whole_run / "model")
    assert (whole_run / "model" / "tokenizer.json").exists()


def test_resuming_after_sigterm_is_exact(whole_run, dataset, tmp_path):
    """Also with another number of workers."""

    def stop_after_some_steps():
        while not (tmp_path / "log.jsonl").exists() or len(losses(tmp_path)) < 8:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop_after_some_steps)
    thread.start()
    slow = config(run={"workers": 1})
    result = train(slow, [dataset], tmp_path)
    thread.join()
    assert result["stopped"] and 8 <= result["step"] < 20
    result = train(config(run={"workers": 2}), [dataset], tmp_path)
    assert result["step"] == 20 and not result["stopped"]
    assert losses(tmp_path) == losses(whole_run)
    same_weights(whole_run, tmp_path, 0.0)


def same_weights(a: Path, b: Path, tolerance: float):
    first, second = (load_file(x / "model" / "model.safetensors") for x in (a, b))
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=tolerance, rtol=0, msg=name)


def test_a_finished_run_is_not_repeated(whole_run, dataset):
    before = (whole_run / "log.jsonl").read_text()
    assert train(config(), [dataset], whole_run)["step"] == 20
    assert (whole_run / "log.jsonl").read_text() == before


def test_resuming_with_other_config_or_data_is_refused(whole_run, dataset):
    with pytest.raises(UsageError, match="another 'objective': region_weight was 0.1, now 0.7"):
        train(config(objective={"region_weight": 0.7}), [dataset], whole_run)
    with pytest.raises(UsageError, match="another 'data'"):
        train(config(), [dataset, dataset], whole_run)


def test_checkpoint_format_is_unchanged(whole_run):
    """Checkpoints of earlier releases can be resumed; a new key of a section needs a default that
    means what was done before."""
    folder = whole_run / "checkpoints" / "step-00000020"
    assert {p.name for p in folder.iterdir()} >= {"model.safetensors", "sample.json", "trainer.pt"}
    state = torch.load(folder / "trainer.pt")
    assert set(state) == {"step", "optimizer", "threshold", "decides"}
    assert set(state["decides"]) == {
        "scratch", "sample", "objective", "optimizer", "seed", "precision", "shuffle_shards",
        "data",
    }  # fmt: skip
    fields = "boxes choose negatives long_expr prefix lowercase fit patches reduced_decode"
    fields += " missing_caption captions alt_text half_truths"
    assert set(state["decides"]["sample"]) == set(fields.split())


def test_a_loss_that_is_not_finite_ends_the_run(dataset, tmp_path):
    with pytest.raises(
        FinehardError, match=r"step \d+: .*nan.*last checkpoint is .*step-0000000"
    ) as e:
        train(
            config(optimizer={"lr": 1e18, "clip_norm": 0}, run={"save_every": 1}),
            [dataset],
            tmp_path,
        )
    assert "\n" not in str(e.value)
    saved = sorted((tmp_path / "checkpoints").iterdir())[-1]
    assert int(saved.name[5:]) == len(losses(tmp_path))


def test_unreadable_samples_are_counted_and_named(tmp_path):
    data = broken(tmp_path / "set")
    result = train(config(optimizer={"steps": 3}), [str(data)], tmp_path / "out")
    rows = [json.loads(x) for x in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    assert result["skipped"] == len(rows) == 4
    assert {r["key"] for r in rows} == {"000002", "000005", "000007", "000011"}
    assert all(r["shard"].endswith(".tar") and r["reason"] for r in rows)


def test_batches_without_regions_can_be_trained_on(tmp_path, dataset):
    """The published code fails on a batch without hard negatives."""
    for sample in ({"negatives": 0}, {"boxes": 0}):
        output = tmp_path / str(len(sample)) / next(iter(sample))
        train(config(sample=sample, optimizer={"steps": 2}), [dataset], output)
        metrics = losses(output)[2]
        assert metrics["hard"] == 0 and metrics["loss"] > 0


FGCLIP2 = as_dict(load_train_config("fgclip2"))["objective"]


def test_parts_of_a_step_change_no_loss_of_a_run(tmp_path, dataset):
    """FG-CLIP 2's losses, over several epochs."""
    for parts in (1, 4):
        optimizer = {"steps": 8, "accumulate": parts, "batch_size": 16, "lr": 1e-4}
        settings = config(objective=FGCLIP2, sample={"lowercase": True}, optimizer=optimizer)
        train(settings, [dataset], tmp_path / str(parts))
    one, four = losses(tmp_path / "1"), losses(tmp_path / "4")
    assert one.keys() == four.keys()
    for step, row in one.items():
        assert row["tic"] > 0 and row["every"] > 0 and row["hard"] > 0
        for name, value in row.items():
            assert four[step][name] == pytest.approx(value, rel=1e-4, abs=1e-4), (step, name)
    state = torch.load(tmp_path / "4" / "checkpoints" / "step-00000008" / "trainer.pt")
    assert 0 <= state["threshold"] <= 10


def test_a_model_with_a_bias_is_loaded_and_resumed(tmp_path, dataset):
    settings = config(objective=FGCLIP2, optimizer={"steps": 6}, run={"save_every": 3})
    train(settings, [dataset], tmp_path / "whole")
    assert "logit_bias" in load_file(tmp_path / "whole" / "model" / "model.safetensors")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step-00000006")
    train(settings, [dataset], tmp_path / "again")
    assert losses(tmp_path / "again") == losses(tmp_path / "whole")
    same_weights(tmp_path / "whole", tmp_path / "again", 0.0)


def begun_before(run: Path, output: Path, **objective) -> Path:
    """A copy of `run`, its checkpoints as an earlier release wrote them."""
    shutil.copytree(run, output)
    shutil.rmtree(output / "checkpoints" / "step-00000020")
    path = output / "checkpoints" / "step-00000018" / "trainer.pt"
    state = torch.load(path)
    del state["threshold"]
    state["margins"] = torch.zeros(10)
    old = "long_weight short_weight region_weight hard_weight tic_weight cmr_weight ranks mask_same"
    old_objective = {**state["decides"]["objective"], **objective}
    names = [*old.split(), "same_above", "max_negatives"]
    state["decides"]["objective"] = {n: old_objective[n] for n in names}
    for name in ("warmup_from_zero", "warmup_share", "decay_scales"):
        del state["decides"]["optimizer"][name]
    del state["decides"]["optimizer"]["schedule"]
    for name in ("lowercase", "missing_caption", "captions", "alt_text"):
        del state["decides"]["sample"][name]
    torch.save(state, path)
    return output


def test_a_run_of_an_earlier_release_resumes_exactly(whole_run, dataset, tmp_path):
    output = begun_before(whole_run, tmp_path / "run")
    assert train(config(), [dataset], output)["step"] == 20
    assert losses(output) == losses(whole_run)
    same_weights(whole_run, output, 0.0)


def test_a_run_whose_losses_meant_something_else_is_refused(whole_run, dataset, tmp_path):
    output = begun_before(whole_run, tmp_path / "run", cmr_weight=0.4)
    with pytest.raises(UsageError, match="'objective': an earlier release began it, where cmr"):
        train(config(objective={"cmr_weight": 0.4}), [dataset], output)


def test_region_scales_begin_as_the_recipe_says(whole_run, tmp_path, dataset):
    """At the global scale or at 100, where a run begins, and not where it is resumed."""
    model = load(whole_run / "model")
    with torch.no_grad():
        model.logit_scale_hardneg.fill_(1.0)
    save(model, tmp_path / "model")
    evaluate.load_tokenizer(whole_run / "model").save_pretrained(tmp_path / "model")
    values = {k: v for k, v in TINY.items() if k != "scratch"}
    for name, scale in (("model", 1.0), ("global", model.logit_scale.item()), ("hundred", 4.6052)):
        values["optimizer"] = {**TINY["optimizer"], "steps": 1, "lr": 0.0}
        values["objective"] = {"scales": name}
        output = tmp_path / name
        train(parse_train_config(values, "test"), [dataset], output, str(tmp_path / "model"))
        row = json.loads((output / "log.jsonl").read_text().splitlines()[-1])
        assert row["logit_scale_hardneg"] == pytest.approx(math.exp(scale), rel=1e-5)


def test_training_starts_from_a_clip_folder(tmp_path, dataset, whole_run):
    tokenizer = evaluate.load_tokenizer(whole_run / "model")
    CLIPModel(tiny_config(len(tokenizer))).save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    settings = parse_train_config({k: v for k, v in TINY.items() if k != "scratch"}, "test")
    train(settings, [dataset], tmp_path / "out", model=str(tmp_path / "clip"))
    assert losses(tmp_path / "out")[20]["loss"] < losses(tmp_path / "out")[1]["loss"]
    with pytest.raises(UsageError, match="--model"):
        train(settings, [dataset], tmp_path / "none")


def test_default_recipe_trains_on_a_small_dataset(dataset, tmp_path, capsys):
    arguments = ["--data", dataset, "--output", str(tmp_path), "--set", "optimizer.steps=1"]
    assert main([*arguments, "--set", "run.workers=0"]) == 0
    said = capsys.readouterr()
    assert "1 steps done" in said.out and "only 50 samples: steps of 50 images" in said.err


def test_learning_rate_warms_up_and_falls_to_zero():
    settings = config(optimizer={"lr": 2.0, "warmup_steps": 4}).optimizer
    rates = [learning_rate(s, 10, settings) for s in range(10)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert rates[4] == 2.0 and rates[7] == pytest.approx(1.0)
    assert all(a > b for a, b in zip(rates[4:], rates[5:], strict=False))
    assert learning_rate(10, 10, settings) == pytest.approx(0)
    settings = dataclasses.replace(settings, warmup_from_zero=True, warmup_share=0.35)
    assert [learning_rate(s, 10, settings) for s in range(5)] == [0, 0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("published", [False, True])
def test_weight_decay_spares_norms_and_biases(published):
    model = build(tiny_config())
    settings = config(optimizer={"decay_scales": published}).optimizer
    decayed = make_optimizer(model, settings).param_groups[0]["params"]
    names = {n for n, p in model.named_parameters() if any(p is q for q in decayed)}
    assert "vision_model.embeddings.position_embedding.weight" in names
    assert not any("norm" in n or n.endswith("bias") for n in names)
    scales = {"logit_scale", "logit_scale_hardneg", "vision_model.embeddings.class_embedding"}
    assert scales & names == (scales if published else set())


@pytest.mark.parametrize("name", ["stage1", "fgclip-v1", "fgclip2", "finehard", "demo"])
def test_bundled_recipes_load(name):
    load_train_config(name, ["optimizer.lr=1e-5"])


def test_wrong_settings_are_named(tmp_path):
    with pytest.raises(UsageError, match="optimizer.batchsize"):
        load_train_config("finehard", ["optimizer.batchsize=3"])
    with pytest.raises(UsageError, match="and --set: unknown key run.worker; did you mean workers"):
        load_train_config("finehard", ["run.worker=3"])
    with pytest.raises(
        UsageError, match="optimizer.batch_size: .* greater than or equal to 1, not 0"
    ):
        load_train_config("finehard", ["optimizer.batch_size=0"])
    for setting in ("lr", "optimizer.lr", "optimizer.lr={"):
        with pytest.raises(UsageError, match="not a setting"):
            load_train_config("finehard", [setting])
    with pytest.raises(UsageError, match="fgclip-v1"):
        load_train_config("nothing")


def command(dataset: str, output: Path, settings: Path, processes: int = 1) -> list[str]:
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*start, "-m", "finehard.fgclip.train", "--data", dataset, "--output", str(output),
            "--config", str(settings)]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["finehard", "v1_global"])
def test_two_processes_equal_one_with_twice_the_batch(dataset, tmp_path, recipe):
    objective = {"cmr_weight": 0.4}
    if recipe == "v1_global":  # there, negatives are those of the same process
        objective = {"region_weight": 0, "hard_weight": 0, "mask_same": False, "ranks": "own"}
    settings = tmp_path / "settings.yaml"
    run = {**TINY["run"], "eval_every": 8}
    settings.write_text(yaml.safe_dump({**TINY, "objective": objective, "run": run}))
    for processes in (1, 2):
        done = subprocess.run(
            [*command(dataset, tmp_path / str(processes), settings, processes),
             "--eval-data", dataset],
            env=environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert one.keys() == two.keys() and len(one) == 20
    for step, row in one.items():
        for name, value in row.items():
            assert two[step][name] == pytest.approx(value, rel=1e-5, abs=1e-5), (step, name)
    same_weights(tmp_path / "1", tmp_path / "2", 1e-5)


@pytest.mark.slow
def test_five_kills_at_random_steps_change_no_loss(dataset, tmp_path):
    """In a run with a weight, which is extended between the kills: as one run, undisturbed."""
    data = f"{dataset}=1.3"
    optimizer = {**TINY["optimizer"], "schedule": "constant"}
    train(config(optimizer=optimizer), [data], tmp_path / "whole")
    settings = tmp_path / "settings.yaml"
    rng = random.Random(time.time_ns())
    kills = sorted(rng.sample(range(1, 20), 5))
    print("killed at", kills)
    run = {**TINY["run"], "save_every": 2 + rng.randrange(3)}
    values = {**TINY, "run": run, "optimizer": optimizer}
    for number, at in enumerate(kills):
        run["workers"], optimizer["steps"] = number % 3, 12 if number < 3 else 20
        settings.write_text(yaml.safe_dump(values))
        process = subprocess.Popen(command(data, tmp_path / "out", settings), env=environment())
        while process.poll() is None:
            log = tmp_path / "out" / "log.jsonl"
            if log.exists() and any(f'{{"step": {at},' in x for x in log.read_text().splitlines()):
                process.kill()
            time.sleep(0.002)
        process.wait()
    done = subprocess.run(command(data, tmp_path / "out", settings), env=environment())
    assert done.returncode == 0
    assert losses(tmp_path / "out") == losses(tmp_path / "whole")
    same_weights(tmp_path / "whole", tmp_path / "out", 0.0)


@pytest.mark.slow
def test_each_loss_improves_its_own_metric(tmp_path):
    """On held-out images of coloured shapes. Global losses alone leave regions near chance."""
    data = str(made_shards.write(tmp_path / "set", 600))
    held_out = str(made_shards.write(tmp_path / "held_out", 200, first=10_000))
    optimizer = {"batch_size": 32, "steps": 200, "lr": 2e-3, "warmup_steps": 20}
    metrics = {}
    for name, region, hard in (("global", 0, 0), ("region", 1, 0), ("hard", 1, 1)):
        objective = {"region_weight": region, "hard_weight": hard}
        settings = config(objective=objective, optimizer=optimizer, run={"save_every": 1000})
        result = train(settings, [data], tmp_path / name, eval_data=[held_out])
        metrics[name] = result["evaluation"]
    assert metrics["region"]["region_top1"] > metrics["global"]["region_top1"] + 0.1
    assert metrics["hard"]["hard_top1"] > metrics["global"]["hard_top1"] + 0.2
    assert metrics["hard"]["hard_top1"] > 0.85


def test_command_returns_143_after_sigterm(dataset, tmp_path, capsys, monkeypatch):
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump(TINY))
    arguments = ["--data", dataset, "--output", str(tmp_path / "out"), "--config", str(settings)]
    from finehard.fgclip import train as module

    real = module.learning_rate

    def stop_in_third_step(step, *rest):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(step, *rest)

    monkeypatch.setattr(module, "learning_rate", stop_in_third_step)
    assert main(arguments) == STOPPED
    assert "stopped at step 3 of 20" in capsys.readouterr().out
    monkeypatch.undo()
    assert main([*arguments, "--set", "run.workers=1"]) == 0
    assert "20 steps done" in capsys.readouterr().out
