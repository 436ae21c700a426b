"""Models of all families by the same command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.benchmarks.declared import BENCHMARKS
from finehard.cli.main import main
from tests.benchmarks.layouts import LAYOUTS

from .test_models import FOLDERS, spec_of

NAMES = ["coco", "urban1k", "coco_boxes", "fgovd/hard"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    for name in NAMES:
        LAYOUTS[name].write(root / BENCHMARKS[name].folder)
    return root


@pytest.mark.parametrize("name", FOLDERS)
def test_one_command_measures_a_model_of_each_family(name, request, root, capsys):
    arguments = ["--model", spec_of(name, request), "--data", str(root), "--format", "json"]
    assert main(["evaluate", "benchmark", *arguments, "--benchmark", *NAMES]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["benchmark"] for result in results] == NAMES
    assert all(0 <= f["value"] <= 1 for result in results for f in result["figures"])
    assert len({result["model"]["family"] for result in results}) == 1


def test_published_code_of_another_model_is_never_run(tmp_path, capsys):
    """FG-CLIP 2 as published brings modelling code, for which transformers would ask."""
    auto = {"AutoConfig": "configuration.Config", "AutoModel": "modeling.Model"}
    config = {"model_type": "fgclip2", "architectures": ["Fgclip2Model"], "auto_map": auto}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arguments = ["--model", str(tmp_path), "--data", str(tmp_path), "--benchmark", "coco"]
    assert main(["evaluate", "benchmark", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("finehard: ") and error.count("\n") == 1
