"""What a build will take: the numbers add up, and nothing in an input or config stops a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.cli.plan_table import print_plan
from finehard.config import Config, parse_config
from finehard.pipeline import load_pipeline, make_stages
from finehard.planning import Plan, make_plan
from finehard.sources import SourceConfig, discover
from finehard.stages.stage import Stage
from tests.pictures import jpg
from tests.sources.tars import samples, tar_bytes

_SERVED = {"model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}


def _config(**sections: Any) -> Config:
    return parse_config({"models": {"lmm": _SERVED, "llm": _SERVED}, **sections}, "test")


def _stages(config: Config) -> tuple[Stage, ...]:
    return make_stages(load_pipeline(), config)


def _plan(source: Path, config: Config) -> Plan:
    files = discover(str(source), config.source)
    images = sum(file.samples or 0 for file in files)
    return make_plan(files, images, config, _stages(config))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two tars of 30 images of 40 x 30 pixels."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.tar", "b.tar"):
        (folder / name).write_bytes(tar_bytes(samples(30)))
    return folder


_PRICES = {
    "gpu_hour": 2.0, "gpus": 4, "regions_per_image": 3.0, "detector_images_per_s": 10.0,
    "models": {
        "lmm": {"prompt_per_million": 1.0, "completion_per_million": 3.0},
        "llm": {"prompt_tokens_per_s": 1000.0, "completion_tokens_per_s": 100.0},
    },
}  # fmt: skip


def test_the_numbers_add_up(source: Path) -> None:
    plan = _plan(source, _config(prices=_PRICES, shards={"samples_per_shard": 25}))
    assert (plan.files, plan.images, plan.shards) == (2, 60, 3)
    assert (plan.sampled, plan.width, plan.height) == (16, 40, 30)
    stages = {stage.stage: stage for stage in plan.stages}
    assert list(stages) == ["caption", "detect", "regions", "negatives", "verify"]
    assert [s.requests for s in plan.stages] == [60, 0, 60, 60, 180]  # 3 regions each
    caption, negatives = stages["caption"], stages["negatives"]
    assert caption.gpu_hours == 0
    assert caption.cost == pytest.approx(
        caption.prompt_tokens / 1e6 + 3 * caption.completion_tokens / 1e6
    )
    seconds = negatives.prompt_tokens / 1000 + negatives.completion_tokens / 100
    assert negatives.gpu_hours == pytest.approx(seconds / 3600)
    assert negatives.cost == pytest.approx(2.0 * negatives.gpu_hours)
    assert stages["detect"].gpu_hours == pytest.approx(60 / 10 / 3600)
    assert plan.gpu_hours == pytest.approx(sum(s.gpu_hours for s in plan.stages))
    assert plan.cost == pytest.approx(sum(s.cost for s in plan.stages))
    assert plan.wall_hours == pytest.approx(plan.gpu_hours / 4)


def test_twice_the_images_take_twice_as_much(source: Path) -> None:
    config = _config(prices=_PRICES)
    files = discover(str(source), SourceConfig())
    once, twice = (make_plan(files, n, config, _stages(config)) for n in (500, 1000))
    for first, second in zip(once.stages, twice.stages, strict=True):
        for column in range(2, 7):
            assert second[column] == pytest.approx(2 * first[column], rel=1e-3)


def test_larger_images_take_more_tokens_up_to_the_size_sent(tmp_path: Path) -> None:
    tokens = []
    for width in (280, 560, 1120, 5600):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "a.jpg").write_bytes(jpg(0, width, width))
        prices = {"image_token_side": 28}
        plan = _plan(folder, _config(images={"max_side": 1120}, prices=prices))
        tokens.append(plan.stages[0].prompt_tokens)
    assert [b - a for a, b in zip(tokens, tokens[1:], strict=False)] == [300, 1200, 0]


def test_without_prices_and_speeds_cost_and_hours_are_unknown(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zero = {"gpus": 0, "models": {"lmm": {}, "other": {"prompt_per_million": 9.0}}}
    plan = _plan(source, _config(prices=zero))
    assert plan.cost == plan.gpu_hours == plan.wall_hours == 0
    assert plan.stages[0].prompt_tokens > 0
    print_plan(plan)
    assert "GPU hours and cost are unknown" in capsys.readouterr().out


def test_a_plan_is_printed_with_its_totals(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = _plan(source, _config(prices=_PRICES))
    print_plan(plan)
    printed = capsys.readouterr().out
    assert "60 images in 2 files, into 1 shards; mean size 40 x 30 px (16 looked at)" in printed
    assert f"{sum(s.prompt_tokens for s in plan.stages):,}" in printed
    assert f"{plan.cost:,.2f}" in printed


def test_images_that_cannot_be_read_do_not_stop_a_plan(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes([("a.jpg", b"no image"), ("b.txt", b"")]))
    plan = _plan(tmp_path, _config())
    assert (plan.images, plan.sampled, plan.width) == (2, 0, 1024)
    (tmp_path / "a.tar").write_bytes(b"no tar")
    assert _plan(tmp_path, _config()).sampled == 0


def test_no_hard_negatives_take_no_requests(source: Path) -> None:
    plan = _plan(source, _config(negatives={"per_region": 0}, prices=_PRICES))
    [negatives] = [s for s in plan.stages if s.stage == "negatives"]
    assert negatives[2:] == (0, 0, 0, 0, 0)


def test_parquet_is_planned_from_its_footer(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [jpg(n) for n in range(70)]}), tmp_path / "a.parquet")
    plan = _plan(tmp_path, _config())
    assert (plan.images, plan.sampled) == (70, 8)
