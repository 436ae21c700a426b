"""Builds through real model servers: the bundled models, as the demo uses them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from bench.demo_quality import ENGINES
from finehard.config import load_config
from finehard.dataset.validate import validate
from finehard.demo.scenes import ScenesConfig, write_scenes
from finehard.serve import ServeConfig
from tests.pipelines.world import ROOT, build, manifest

VLLM = ROOT / ".venv-vllm"


def _demo(folder: Path, **engine: object) -> Path:
    """The demo config with another engine."""
    config = load_config("demo")
    assert config.server is not None
    values = asdict(config)
    values["server"]["engine"] = {**values["server"]["engine"], **engine}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(plain(values)))
    return path


def plain(value: object) -> object:
    """Tuples as lists, for YAML."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _built_from_scenes(tmp_path: Path, settings: Path) -> dict[str, int]:
    source = tmp_path / "scenes"
    write_scenes(source, ScenesConfig(count=8, seed=99))
    done = build(settings, source, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert validate(str(tmp_path / "out")) == []
    return manifest(tmp_path / "out")["counts"]


@pytest.mark.slow
def test_the_demo_builds_through_transformers_serve(tmp_path: Path) -> None:
    counts = _built_from_scenes(tmp_path, _demo(tmp_path, engine="transformers"))
    assert counts["read"] == 8 == counts["written"] + counts["rejected"]


@pytest.mark.slow
@pytest.mark.full
def test_the_demo_builds_through_vllm(tmp_path: Path) -> None:
    if not list(VLLM.glob("lib/python*/site-packages/vllm")):
        pytest.skip(f"vLLM is not installed in {VLLM} (make setup-vllm)")
    settings = _demo(tmp_path, engine="vllm", replicas=1, args=list(ENGINES["vllm"]["args"]))
    counts = _built_from_scenes(tmp_path, settings)
    assert counts["read"] == 8 == counts["written"] + counts["rejected"]
    asked = manifest(tmp_path / "out")["usage"]["caption"]["requests"]
    assert 8 <= asked < 16, "most replies should fit the schema at the first try"


def test_a_server_that_never_starts_is_one_line_with_its_log(tmp_path: Path) -> None:
    broken = ServeConfig(
        engine="command", command=("python3", "-c", "print('{port}: no'); exit(3)")
    )
    settings = _demo(
        tmp_path, engine="command", model="x", command=list(broken.command), args=[], replicas=1
    )
    source = tmp_path / "scenes"
    write_scenes(source, ScenesConfig(count=1, seed=1))
    done = build(settings, source, tmp_path / "out")
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("finehard: ")]
    assert ": no" in line
    assert not (tmp_path / "out" / "shards").exists()
