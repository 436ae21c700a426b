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
    assert f"finehard-demo=={demo['version']}" in main["optional-dependencies"]["demo"]
    assert main["version"] == demo["version"]


class Installed(NamedTuple):
    """finehard installed from its wheel, run outside a checkout."""

    prefix: Path
    cwd: Path
    startup: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the `finehard` command."""
        [site] = self.prefix.glob("lib/python*/site-packages")
        path = os.pathsep.join(map(str, (self.startup, site)))
        return subprocess.run(
            [self.prefix / "bin" / "finehard", *arguments],
            cwd=self.cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        )  # fmt: skip


@pytest.fixture
def installed(wheels: Wheels, tmp_path: Path) -> Installed:
    made = Installed(*(tmp_path / name for name in ("prefix", "cwd", "startup")))
    for folder in (made.cwd, made.startup):
        folder.mkdir()
    (made.startup / "sitecustomize.py").write_text(WITHOUT_CHECKOUT)
    site = _install(wheels.package, made.prefix)
    assert {p.name.split("-")[0] for p in site.iterdir()} == {"finehard"}
    return made


def test_installed_wheel_builds_outside_a_checkout(
    wheels: Wheels, server: Server, installed: Installed
) -> None:
    cwd, run = installed.cwd, installed.run
    (cwd / "whole_image.py").write_text(DETECTOR)
    write_tars(cwd / "in", 6, 96, 64)
    model = {"model": "simulated", "endpoints": [server.url]}
    settings = {"models": {"lmm": model, "llm": model}, "detect": {"backend": "whole_image:load"}}
    (cwd / "config.yaml").write_text(json.dumps(settings))
    build = ["--config", "config.yaml", "--input", "in"]
    for command in (
        ["plan", *build], ["build", *build, "--output", "out"], ["validate", "out"],
        ["plan", "--pipeline", "recaption", "--config", "recaption", "--input", "in"],
        ["report", "out"], ["stats", "out"],
    ):  # fmt: skip
        done = run(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert str(ROOT) not in done.stdout + done.stderr
    assert json.loads((cwd / "out" / "manifest.json").read_text())["counts"]["written"] == 6
    assert (cwd / "out" / "report.html").stat().st_size > 10_000

    plan = ["plan", "--config", "demo", "--input", "in"]
    for command, code in ((plan, 2), (["demo"], 1)):
        done = run(*command)
        assert done.returncode == code and done.stderr.count("\n") == 1, done.stderr
        assert "pip install 'finehard[demo]'" in done.stderr
    assert not (cwd / "out" / "demo").exists()
    _install(wheels.models, installed.prefix)
    done = run(*plan)
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_installed_demo_renders_and_builds(wheels: Wheels, installed: Installed) -> None:
    _install(wheels.models, installed.prefix)
    command = [
        "demo",
        "--scenes",
        "3",
        "--output",
        "here/demo",
        "--set",
        "server.engine.replicas=1",
    ]
    done = installed.run(*command)
    assert done.returncode == 0, done.stderr
    assert "3 read = 3 written" in done.stdout
    assert done.stdout.splitlines()[-1] == "open here/demo/report.html in a browser"
    assert (installed.cwd / "here" / "scenes-3-7" / "truth.jsonl").exists()
    again = installed.run(*command)
    assert "rendering" in done.stdout and "rendering" not in again.stdout
    assert "0 requests" in again.stdout
