"""Errors in a config are reported in one line, before anything starts."""

from __future__ import annotations

import copy
import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import finehard
from finehard.config import Config, as_dict, load_config, parse_config, resolved
from finehard.errors import UsageError
from finehard.pipeline import load_pipeline, make_stages
from finehard.settings import reference

ROOT = Path(__file__).parents[1]
MODEL = {"model": "tiny", "endpoints": ["http://127.0.0.1:1/v1"]}
GOOD: dict[str, Any] = {"models": {"lmm": MODEL, "llm": MODEL}}
SERVER = {"engine": {"engine": "command", "model": "m", "command": ["serve", "{port}"]}}
SERVED: dict[str, Any] = {"models": {"lmm": {}, "llm": {}}, "server": SERVER}


def changed(key: str, value: Any, base: dict[str, Any] = GOOD) -> dict[str, Any]:
    values = copy.deepcopy(base)
    *folders, last = key.split(".")
    inner = values
    for folder in folders:
        inner = inner.setdefault(folder, {})
    inner[last] = value
    return values


def wrong(values: Any) -> str:
    with pytest.raises(UsageError) as caught:
        parse_config(values, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ") and "\n" not in message and len(message) < 400
    return message


def loaded(folder: Path, text: str | bytes) -> Any:
    path = folder / "my.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(str(path))


def test_minimal_config_is_valid() -> None:
    config = parse_config(GOOD, "my.yaml")
    assert config.models["lmm"].endpoints == ("http://127.0.0.1:1/v1",)
    assert config.models["lmm"].window == 64
    parse_config(SERVED, "my.yaml")


@pytest.mark.parametrize(
    ("key", "base", "message"),
    [
        ("modles", GOOD, "unknown key modles; did you mean models?"),
        ("models.lmm.endpoint", GOOD, "unknown key models.lmm.endpoint; did you mean endpoints?"),
        ("caption.promt", GOOD, "unknown key caption.promt; did you mean prompt?"),
        ("shards.sample_per_shard", GOOD, "did you mean samples_per_shard?"),
        ("server.were", SERVED, "unknown key server.were; did you mean where?"),
        ("server.engine.modle", SERVED, "unknown key server.engine.modle; did you mean model?"),
        ("prices.models.lmm.prompt_token_per_s", GOOD, "did you mean prompt_tokens_per_s?"),
        ("server.zzz", SERVED, "unknown key server.zzz; known: engine, where"),
    ],
)
def test_unknown_key_gets_a_suggestion(key: str, base: dict[str, Any], message: str) -> None:
    assert message in wrong(changed(key, 1, base))


def test_key_must_be_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown key True"):
        loaded(tmp_path, "on: 1\nmodels: {}\n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("models", []),
        ("models", None),
        ("models", {}),
        ("models.lmm", "tiny"),
        ("models.lmm.window", "many"),
        ("models.lmm.window", 0),
        ("models.lmm.window", -1),
        ("models.lmm.attempts", 0),
        ("models.lmm.timeout_s", 0),
        ("models.lmm.timeout_s", float("nan")),
        ("models.lmm.timeout_s", float("inf")),
        ("models.lmm.outage_s", -1),
        ("models.lmm.temperature", -1),
        ("models.lmm.endpoints", "http://127.0.0.1/v1"),
        ("models.lmm.endpoints", ["127.0.0.1:8000/v1"]),
        ("models.lmm.endpoints", ["ftp://127.0.0.1/v1"]),
        ("models.lmm.endpoints", ["http:///v1"]),
        ("models.lmm.extra_body", [1]),
        ("caption", []),
        ("shards.samples_per_shard", {"a": 1}),
        ("detect.backend", "yolo"),
        ("server", 7),
        ("server", {}),
    ],
)
def test_wrong_value_is_reported_with_its_section(key: str, value: Any) -> None:
    assert key.split(".")[0] in wrong(changed(key, value))


def _numbers() -> list[str]:
    """Returns the key of every number in the sections of a config."""
    keys = []
    for section, kind in get_type_hints(Config).items():
        sections = [k for k in (kind, *get_args(kind)) if is_dataclass(k)]
        if not sections or section in ("server", "models"):
            continue
        for name, hint in get_type_hints(sections[0]).items():
            if {int, float} & {hint, *get_args(hint)}:
                keys.append(f"{section}.{name}")
    return keys


@pytest.mark.parametrize("key", _numbers())
def test_no_number_may_be_negative(key: str) -> None:
    message = wrong(changed(key, -1))
    assert key in message and "-1" in message


@pytest.mark.parametrize(
    "key",
    ["source.unit_size", "shards.samples_per_shard", "images.max_side", "caption.max_tokens"],
)
def test_counts_and_sizes_must_be_positive(key: str) -> None:
    assert f"{key}: input should be greater than or equal to 1, not 0" in wrong(changed(key, 0))


def test_password_in_endpoint_is_refused_and_hidden() -> None:
    message = wrong(changed("models.lmm.endpoints", ["http://me:secret@host:8000/v1"]))
    assert "secret" not in message and "api_key_env" in message


@pytest.mark.parametrize("values", [None, [], "x", 7])
def test_config_must_be_a_mapping(values: Any) -> None:
    assert "mapping of sections" in wrong(values)


@pytest.mark.parametrize("stage", ["caption", "regions", "negatives", "verify"])
def test_stage_with_unknown_model_is_reported(stage: str) -> None:
    config = parse_config(changed(f"{stage}.model", "big"), "test")
    with pytest.raises(UsageError, match=f"{stage}.model is 'big', but models has only llm, lmm"):
        make_stages(load_pipeline(), config)


def test_model_needs_a_name_and_endpoints() -> None:
    assert "models.lmm.model is missing" in wrong(
        changed("models.lmm", {"endpoints": MODEL["endpoints"]})
    )
    assert "models.lmm has no endpoints" in wrong(changed("models.lmm", {"model": "tiny"}))


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: b: c",
        "\t- x",
        "a: !!python/object:os.system x",
        "\x00",
        "a: 2026-99-99",
        "&a *b",
    ],
)
def test_invalid_yaml_is_reported(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="my.yaml: not YAML: ") as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_invalid_utf8_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="my.yaml: not UTF-8 text"):
        loaded(tmp_path, b"\xff\xfe\xff")


def test_unknown_config_lists_the_bundled_ones() -> None:
    with pytest.raises(UsageError, match="no config 'clutser': .* cluster, dataflow"):
        load_config("clutser")


def test_package_folder_is_substituted(tmp_path: Path) -> None:
    text = json.dumps(changed("server.engine.model", "${finehard}/demo/models/vlm", SERVED))
    config = loaded(tmp_path, text)
    folder = Path(finehard.__file__).parent / "demo" / "models" / "vlm"
    assert config.server.engine.model == str(folder)


def test_missing_demo_models_name_the_extra(tmp_path: Path) -> None:
    text = json.dumps(changed("server.engine.model", "${finehard}/demo/models/none", SERVED))
    with pytest.raises(UsageError, match=r"models/none is missing: .* 'finehard\[demo\]'"):
        loaded(tmp_path, text)


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "configs").glob("*.yaml")))
def test_bundled_configs_are_valid(name: str) -> None:
    config = load_config(name)
    json.dumps(as_dict(resolved(config)))


def test_manifest_contains_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", "sk-secret")
    values = changed("server.engine.env", {"HF_TOKEN": "hf-secret"}, SERVED)
    values["models"]["lmm"] = {**MODEL, "api_key_env": "TINY_KEY"}
    text = json.dumps(as_dict(resolved(parse_config(values, "my.yaml"))))
    assert "secret" not in text and "HF_TOKEN" not in text
    assert "TINY_KEY" in text


def test_identity_covers_what_affects_answers() -> None:
    def identity(**fields: Any) -> Any:
        values = changed("models.lmm", {**MODEL, **fields})
        return parse_config(values, "my.yaml").models["lmm"].identity()

    same = {"window": 3, "timeout_s": 9, "endpoints": ["http://other/v1"], "attempts": 9}
    assert identity(**same) == identity()
    for field, value in (("model", "other"), ("revision", "r"), ("temperature", 0.5), ("seed", 1)):
        assert identity(**{field: value}) != identity()
    assert identity(extra_body={"top_k": 1}) != identity()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_bundled_configs_name_the_compact_prompts_but_the_demo(path: Path) -> None:
    config = load_config(str(path))
    if config.recaption is not None:
        return  # it has captions only
    demo = path.stem == "demo"
    assert config.negatives.prompt == ("negatives.v1" if demo else "negatives.v2")
    if config.verify.policy != "skip":
        assert config.verify.prompt == ("verify.v2" if demo else "verify.v3")


def test_settings_at_their_default_are_not_in_the_manifest() -> None:
    config = load_config("gpu-node")
    assert "left_to_lexicon" not in as_dict(config)["negatives"]
    assert "regions_per_request" not in as_dict(config)["verify"]


def test_the_page_of_all_keys_is_that_of_the_code() -> None:
    """If it is not: python -m finehard.settings.reference > docs/configuration.md"""
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == reference.page()
