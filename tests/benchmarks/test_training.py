"""Benchmarks during training: in the log, and shared by all processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from finehard.benchmarks.benchmark import Benchmark
from finehard.benchmarks.chosen import choose
from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.loading import load_model
from finehard.benchmarks.run import measure
from finehard.benchmarks.training import TrainingBenchmarks
from finehard.errors import FinehardError, UsageError
from finehard.fgclip import model as fgclip
from finehard.fgclip import siglip2
from finehard.fgclip.config import (
    ScratchConfig,
    as_dict,
    parse_train_config,
    scratch_clip,
    scratch_siglip2,
)
from finehard.fgclip.targets import SampleConfig
from finehard.fgclip.tokenizer import load_tokenizer, make_gemma_tokenizer, make_tokenizer
from finehard.fgclip.train import main, train
from tests.benchmarks.layouts import LAYOUTS
from tests.fgclip import made_shards

torch.set_num_threads(1)

NAMES = ["coco", "urban1k", "coco_boxes", "fgovd/hard"]
SMALL = {
    "image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 2, "text_width": 32,
    "text_layers": 2, "text_heads": 2, "projection": 16, "vocabulary": 700,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    for name in NAMES:
        LAYOUTS[name].write(root / BENCHMARKS[name].folder)
    return root


TEXTS = ["a red thing and a blue thing", "yellow or green things"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_tokenizer(TEXTS, 600)
    torch.manual_seed(0)
    fgclip.save(fgclip.build(scratch_clip(ScratchConfig(**SMALL), len(tokenizer))), folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def fgclip2_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_gemma_tokenizer(TEXTS, 600)
    torch.manual_seed(0)
    scratch = scratch_siglip2(ScratchConfig(**SMALL), len(tokenizer))
    fgclip.save(siglip2.build(scratch), folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(backbone="clip", **run):
    values = {
        "model": {"backbone": backbone},
        "sample": {"lowercase": backbone == "siglip2", "patches": 128},
        "scratch": SMALL,
        "optimizer": {"batch_size": 8, "steps": 4, "lr": 1e-3, "warmup_steps": 2},
        "run": {"precision": "fp32", "workers": 0, "log_every": 1, "save_every": 100, **run},
    }
    return parse_train_config(values, "test")


def figures_of(folder: Path, root: Path) -> dict[str, float]:
    """What the command measures."""
    model = load_model(folder, "cpu", "fp32")
    results = [measure(benchmark, model, str(root)) for benchmark, _ in choose(NAMES, str(root))]
    return {f"{r.benchmark}/{f.name}": f.value for r in results for f in r.figures}


@pytest.mark.parametrize("backbone", ["clip", "siglip2"])
def test_figures_in_the_log_are_those_of_the_command(backbone, root, tmp_path):
    data = str(made_shards.write(tmp_path / "data", 16))
    settings = config(backbone, evaluate=NAMES, eval_every=2)
    result = train(settings, [data], tmp_path / "out", benchmark_data=str(root))
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    logged = [row for row in rows if row["group"] == "benchmark"]
    assert [row["step"] for row in logged] == [2, 4]
    expected = figures_of(tmp_path / "out" / "model", root)
    assert result["benchmarks"] == pytest.approx(expected)
    assert {k: v for k, v in logged[-1].items() if "/" in k} == pytest.approx(expected)
    assert list((tmp_path / "out" / "tensorboard").iterdir())


def test_benchmarks_change_nothing_of_the_training(root, tmp_path):
    data = str(made_shards.write(tmp_path / "data", 16))
    plain = train(config(), [data], tmp_path / "plain")
    with_some = train(
        config(evaluate=NAMES, eval_every=1), [data], tmp_path / "some", benchmark_data=str(root)
    )
    assert plain["loss"] == with_some["loss"] and "benchmarks" not in plain


def test_no_benchmarks_leave_the_config_as_it_was():
    assert "evaluate" not in as_dict(config())["run"]
    assert as_dict(config(evaluate=["coco"]))["run"]["evaluate"] == ("coco",)


@pytest.mark.parametrize(
    "names, data, words",
    [
        (["coco"], None, "run.evaluate: give --benchmark-data"),
        ([], "here", "run.evaluate names no benchmark"),
        (["nonsense"], "here", "run.evaluate: 'nonsense' is not one of"),
        (["flickr30k"], "here", "no such f"),
        (["iiw"], "here", "none of the benchmarks is below"),
    ],
)
def test_wrong_names_end_a_run_before_it_begins(root, tmp_path, names, data, words):
    shards = str(made_shards.write(tmp_path / "data", 8))
    benchmark_data = str(root) if data else None
    with pytest.raises((FinehardError, UsageError), match=words):
        train(config(evaluate=names), [shards], tmp_path / "out", benchmark_data=benchmark_data)
    assert not (tmp_path / "out" / "log.jsonl").exists()


def test_command_takes_the_folder_of_the_benchmarks(root, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(
        json.dumps({
            "scratch": SMALL,
            "optimizer": {"batch_size": 4, "steps": 1, "warmup_steps": 0},
            "run": {"precision": "fp32", "workers": 0, "evaluate": ["urban1k"]},
        })
    )  # fmt: skip
    data = str(made_shards.write(tmp_path / "data", 8))
    arguments = ["--data", data, "--output", str(tmp_path / "out")]
    arguments += ["--config", str(tmp_path / "config.yaml"), "--benchmark-data", str(root)]
    assert main(arguments) == 0
    assert "urban1k/image_to_text_r@1" in capsys.readouterr().err


PROCESS = """
import json, sys
from pathlib import Path
from finehard.benchmarks.models.fgclip import FGClipModel
from finehard.benchmarks.models.fgclip2 import FGClip2Model
from finehard.benchmarks.training import TrainingBenchmarks
from finehard.errors import FinehardError
from finehard.fgclip import distributed, model
from finehard.fgclip.evaluate import sample_config
from finehard.fgclip.tokenizer import load_tokenizer

folders, root, output, broken, *names = sys.argv[1:]
device = distributed.init()
group = distributed.patient_group()
rank = distributed.rank()
encoded = 0
def counted(whole):
    def image_features(self, images):
        global encoded
        encoded += len(images)
        if broken == "broken" and rank == 1:
            raise MemoryError("no more memory")
        return whole(self, images)
    return image_features
for family in (FGClipModel, FGClip2Model):
    family.image_features = counted(family.image_features)
benchmarks = TrainingBenchmarks(names, root)
try:
    figures = [
        benchmarks.measure(
            model.load(one), load_tokenizer(one), sample_config(one), device, "fp32", group
        )
        for one in folders.split(",")
    ]
except (FinehardError, MemoryError) as error:
    figures = [{"error": f"{type(error).__name__}: {error}"}]
Path(output, str(rank)).write_text(json.dumps([figures, encoded]))
distributed.shutdown()
"""


def in_processes(count: int, tmp_path: Path, models: list[Path], root: Path, state: str, names):
    """Returns the figures of each model, and the number of images encoded, of each process."""
    (tmp_path / "run.py").write_text(PROCESS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={count}", str(tmp_path / "run.py")]
    command += [",".join(map(str, models)), str(root), str(tmp_path), state, *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads((tmp_path / str(rank)).read_text()) for rank in range(count)]


@pytest.mark.slow
def test_processes_share_the_work_and_get_equal_figures(
    tmp_path, model_folder, fgclip2_folder, root
):
    folders = [model_folder, fgclip2_folder]
    first, second = in_processes(2, tmp_path, folders, root, "whole", NAMES)
    for number, folder in enumerate(folders):
        expected = figures_of(folder, root)
        assert first[0][number] == pytest.approx(expected)
        assert second[0][number] == pytest.approx(expected)
    assert first[1] == second[1] == 8  # half of coco's and urban1k's four images each, both models


@pytest.mark.slow
def test_an_error_in_one_process_ends_the_others_too(tmp_path, model_folder, root):
    first, second = in_processes(2, tmp_path, [model_folder], root, "broken", ["coco"])
    assert "process 1: MemoryError" in first[0][0]["error"]
    assert second[0][0]["error"] == "MemoryError: no more memory"


@pytest.mark.slow
def test_missing_images_of_one_share_are_left_out(tmp_path, model_folder, root):
    """Of two images in two processes, the one of the second process is missing."""
    import shutil

    broken = shutil.copytree(root, tmp_path / "benchmarks")
    names = sorted(p for p in (broken / "urban1k" / "image").iterdir())
    for path in (names[1], names[3]):
        path.unlink()
    expected = measure(BENCHMARKS["urban1k"], load_model(model_folder, "cpu"), str(broken))
    first, second = in_processes(2, tmp_path, [model_folder], broken, "whole", ["urban1k"])
    figures = {f"urban1k/{f.name}": f.value for f in expected.figures}
    assert first[0] == second[0]
    assert first[0][0] == pytest.approx({**figures, "urban1k/missing": 2.0})


def test_a_benchmark_of_the_user_is_measured(model_folder, root, tmp_path, monkeypatch):
    from finehard import registry

    (tmp_path / "own_in_training.py").write_text(
        "from dataclasses import replace\n"
        "from finehard.benchmarks.declared import BENCHMARKS\n"
        "own = replace(BENCHMARKS['urban1k'], name='own')\n"
    )
    registry.add_path(str(tmp_path))
    benchmarks = TrainingBenchmarks(["own_in_training:own"], str(root))
    figures = benchmarks.measure(
        fgclip.load(model_folder), load_tokenizer(model_folder), SampleConfig(),
        torch.device("cpu"), "fp32", None,
    )  # fmt: skip
    assert "own/image_to_text_r@1" in figures
    assert isinstance(BENCHMARKS["urban1k"], Benchmark)
