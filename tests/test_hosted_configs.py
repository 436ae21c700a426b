"""The configs for models that others serve."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from finehard.cli import main
from finehard.config import load_config

ROOT = Path(__file__).parents[1]
HOSTED = ("openai", "azure", "gemini", "openrouter")
LOCAL = ("ollama", "llama-cpp")


@pytest.mark.parametrize("name", [*HOSTED, *LOCAL])
def test_a_plan_needs_no_server(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "one.png")
    config = load_config(name)
    for model in config.models.values():
        if model.api_key_env:
            monkeypatch.setenv(model.api_key_env, "dummy")
    assert main(["plan", "--config", name, "--input", str(tmp_path), "--limit", "1"]) == 0
    told = capsys.readouterr().out
    assert "1 images in 1 files" in told and config.models["lmm"].model.rpartition("/")[2] in told


@pytest.mark.parametrize("name", HOSTED)
def test_hosted_models_have_a_key_and_https(name: str) -> None:
    for model in load_config(name).models.values():
        assert model.api_key_env and model.trust_env
        assert all(url.startswith("https://") for url in model.endpoints)


@pytest.mark.parametrize("name", LOCAL)
def test_local_models_are_on_this_machine(name: str) -> None:
    for model in load_config(name).models.values():
        assert model.api_key_env is None
        assert all(url.startswith("http://localhost:") for url in model.endpoints)


def test_the_page_lists_every_config() -> None:
    page = (ROOT / "docs" / "your-models.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in (*HOSTED, *LOCAL):
        assert f"| `{name}` |" in page and f"`{name}`" in readme
