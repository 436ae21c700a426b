"""The wheels: what they install, and that a build runs from them outside a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.inputs import write_tars
from tests.pipelines.world import ROOT, Server

pytest.importorskip("hatchling")
pytestmark = pytest.mark.slow
MODELS = ROOT / "finehard" / "demo" / "models"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

WITHOUT_CHECKOUT = """
import sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if not (Path(p or ".") / "pipelines").is_dir()]
"""
"""Takes an editable installation's checkout out of a process's path."""

DETECTOR = """
class Whole:
    identity = {"whole": 1}

    def detect(self, images, phrases):
        from finehard.detect import Detection

        return [[Detection(n, (0.1, 0.1, 0.9, 0.9), 0.9) for n in range(len(p))] for p in phrases]

def load(config):
    return Whole()
"""


class Wheels(NamedTuple):
    """The two wheels."""

    package: Path
    models: Path


def _wheel(project: Path, folder: Path) -> Path:
    command = [*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*command, project], cwd=folder, check=True)
    [made] = folder.glob("*.whl")
    return made


def _install(wheel: Path, prefix: Path) -> Path:
    """Installs into an empty or used `prefix`; returns its site-packages."""
    options = ["--no-deps", "--ignore-installed", "--no-warn-script-location", "--prefix", prefix]
    subprocess.run([*PIP, "install", "-q", *options, wheel], check=True)
    [site] = prefix.glob("lib/python*/site-packages")
    return site


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    folders = [tmp_path_factory.mktemp(name) for name in ("package", "models")]
    return Wheels(_wheel(ROOT, folders[0]), _wheel(MODELS, folders[1]))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "answered.log")
    yield running
    running.close()


def test_wheel_holds_only_finehard_and_is_small(wheels: Wheels) -> None:
    names = zipfile.ZipFile(wheels.package).namelist()
    assert {name.split("/")[0] for name in names} == {"finehard", "finehard-0.1.0.dist-info"}
    assert wheels.package.stat().st_size < 4_000_000
    for folder in ("pipelines", "prompts", "schemas", "configs"):
        files = {f.relative_to(ROOT).as_posix() for f in (ROOT / folder).rglob("*.*")}
        files = {f for f in files if "__pycache__" not in f}
        assert files and {f"finehard/_data/{f}" for f in files} <= set(names)


def test_wheels_share_no_file_and_one_version(wheels: Wheels) -> None:
    package, models = ({*zipfile.ZipFile(wheel).namelist()} for wheel in wheels)
    assert not package & models
    shipped = {f"finehard/demo/models/{p.relative_to(MODELS)}" for p in MODELS.glob("*/*")}
    assert shipped <= models and not shipped & package
    main, demo = (
        tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        for folder in (ROOT, MODELS)
    )
    assert main["optional-dependencies"]["demo"] == [f"finehard-demo=={demo['version']}"]
    assert main["version"] == demo["version"]


def test_installed_wheel_builds_outside_a_checkout(
    wheels: Wheels, server: Server, tmp_path: Path
) -> None:
    prefix, cwd, startup = (tmp_path / name for name in ("prefix", "cwd", "startup"))
    for folder in (cwd, startup):
        folder.mkdir()
    (startup / "sitecustomize.py").write_text(WITHOUT_CHECKOUT)
    (cwd / "whole_image.py").write_text(DETECTOR)
    site = _install(wheels.package, prefix)
    assert {p.name.split("-")[0] for p in site.iterdir()} == {"finehard"}
    write_tars(cwd / "in", 6, 96, 64)
    model = {"model": "simulated", "endpoints": [server.url]}
    settings = {"models": {"lmm": model, "llm": model}, "detect": {"backend": "whole_image:load"}}
    (cwd / "config.yaml").write_text(json.dumps(settings))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, (startup, site)))
        return subprocess.run(
            [prefix / "bin" / "finehard", *arguments],
            cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        )  # fmt: skip

    build = ["--config", "config.yaml", "--input", "in"]
    for command in (
        ["plan", *build], ["build", *build, "--output", "out"], ["validate", "out"],
        ["report", "out"], ["stats", "out"],
    ):  # fmt: skip
        done = run(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert str(ROOT) not in done.stdout + done.stderr
    assert json.loads((cwd / "out" / "manifest.json").read_text())["counts"]["written"] == 6
    assert (cwd / "out" / "report.html").stat().st_size > 10_000

    demo = ["plan", "--config", "demo", "--input", "in"]
    done = run(*demo)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "pip install 'finehard[demo]'" in done.stderr
    _install(wheels.models, prefix)
    done = run(*demo)
    assert done.returncode == 0, done.stderr
