"""Settings on the command line override those of the config file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finehard.cli import main
from finehard.config import load_config
from finehard.errors import UsageError
from finehard.settings.read import overridden


def test_settings_override_the_file_at_any_depth() -> None:
    config = load_config("cluster", [
        "when_changed=refuse", "detect.score=3e-1", "models.lmm.endpoints=[http://x:1/v1]",
        "prices.models.lmm.prompt_per_million=0.5", "caption.long_words=70", "detect.score=0.35",
    ])  # fmt: skip
    assert (config.when_changed, config.detect.score) == ("refuse", 0.35)
    assert config.models["lmm"].endpoints == ("http://x:1/v1",)
    assert config.prices.models["lmm"].prompt_per_million == 0.5
    assert config.caption.long_words == 70


def test_an_alias_changes_only_where_it_is_named() -> None:
    before, config = load_config("cluster"), load_config("cluster", ["models.lmm.window=7"])
    assert config.models["lmm"].window == 7
    assert config.models["llm"] == before.models["llm"]


def test_a_setting_makes_its_section(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("models: {lmm: {model: m, endpoints: [http://x:1/v1]}}\nverify:\n")
    config = load_config(str(path), ["verify.policy=skip", "models.llm={model: m}",
                                     "models.llm.endpoints=[http://x:1/v1]"])  # fmt: skip
    assert config.verify.policy == "skip" and config.models["llm"].model == "m"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("detect.scoer=1", "cluster.yaml and --set: unknown key detect.scoer; did you mean score?"),
        ("detct.score=1", "unknown key detct; did you mean detect?"),
        ("detect.score=high", "detect.score: input should be a valid number"),
        ("detect.backend.x=1", "--set detect.backend.x=1: "),
        ("detect.backend.x=1", "has no section there, but 'yolo_world'"),
        ("detect", "--set detect: not a setting: give section.key=value"),
        ("=1", "--set =1: not a setting"),
        ("detect..score=1", "not a setting: give section.key=value"),
        ("detect.score={", "--set detect.score={: not a setting: its value is not YAML"),
        ("detect.score=" + "[" * 5000, "its value is not YAML"),
        ("models.lmm.endpoints=ftp://x", "models.lmm.endpoints"),
        ("models=", "models"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, says: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["plan", "--config", "cluster", "--input", ".", "--set", setting]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("finehard: ") and says in line


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=3))
def test_any_setting_is_read_or_refused(settings: list[str]) -> None:
    values = {"a": {"b": 1}, "c": None, "d": [1]}
    try:
        overridden(values, settings, "x.yaml")
    except UsageError as error:
        assert "not a setting" in str(error) or "has no section" in str(error)
    assert values == {"a": {"b": 1}, "c": None, "d": [1]}
