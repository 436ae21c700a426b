"""Shards of a large dataset are larger by default; what was begun keeps the size that it has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from finehard.config import Config, as_dict, parse_config
from finehard.dataset.layout import ShardsConfig, shard_count
from finehard.preflight import preflight
from finehard.state.settings_snapshot import refuse_changes, save_settings, with_shard_size
from tests.dataset.finished import dataset
from tests.pipelines.world import images

MANY = 12_000_000


def _config(size: int | None = None) -> Config:
    model = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    detect = {"backend": "bench.fixed_detector:load"}
    made = parse_config({"models": {"lmm": model, "llm": model}, "detect": detect}, "test")
    return replace(made, shards=ShardsConfig(size), when_changed="refuse")


def _size(config: Config) -> int | None:
    return config.shards.samples_per_shard


@pytest.mark.parametrize(
    ("size", "samples", "shards"),
    [
        (None, 0, 1), (None, 1_001, 2), (None, 9_999_999, 10_000), (None, 10_000_000, 1_000),
        (None, MANY, 1_200), (500, MANY, 24_000), (20_000, 9, 1),
    ],
)  # fmt: skip
def test_shards_are_larger_from_ten_million_on(size: int | None, samples: int, shards: int) -> None:
    assert shard_count(samples, ShardsConfig(size)) == shards


def test_a_dataset_that_was_begun_keeps_its_size(tmp_path: Path) -> None:
    output = str(tmp_path)
    assert _size(with_shard_size(_config(), output, MANY)) == 10_000
    for size in (1_000, 300):
        save_settings(output, _config(size), ())
        made = with_shard_size(_config(), output, MANY)
        assert _size(made) == size
        refuse_changes(output, made, ())
    assert _size(with_shard_size(_config(77), output, MANY)) == 77


def test_so_does_a_finished_one_without_its_settings(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    path = made / "manifest.json"
    manifest = json.loads(path.read_text())
    for size, expected in ((1_000, 1_000), (None, 10_000), ("many", 10_000)):
        manifest["config"]["shards"]["samples_per_shard"] = size
        path.write_text(json.dumps(manifest))
        assert _size(with_shard_size(_config(), str(made), MANY)) == expected


def test_the_config_of_a_small_build_says_a_thousand(tmp_path: Path) -> None:
    ready = preflight(_config(), str(images(tmp_path / "in", 3)), str(tmp_path / "out"), None)
    assert as_dict(ready.config)["shards"]["samples_per_shard"] == 1_000
