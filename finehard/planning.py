"""What a build will take: requests, tokens, GPU hours and cost, from the input and the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from finehard.config import Config
from finehard.dataset.layout import shard_count
from finehard.detect.stage import Detect
from finehard.images import ImageError, header
from finehard.io import storage
from finehard.preflight import preflight
from finehard.rehearsal import measure_speeds, rehearse
from finehard.settings.prices import PriceConfig, PricesConfig
from finehard.sources import Loaded, SourceFile, read, units
from finehard.stages.stage import AverageImage, Estimate, Stage

_SAMPLED = 64


class StagePlan(NamedTuple):
    """One stage of the plan. Tokens are totals over all images."""

    stage: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    gpu_hours: float
    cost: float


class Plan(NamedTuple):
    """The whole plan. `sampled` images were looked at for their size."""

    files: int
    images: int
    shards: int
    sampled: int
    width: int
    height: int
    stages: list[StagePlan]
    currency: str
    wall_hours: float
    found: Sequence[str] = ()
    """What was found by asking the servers, a line each."""
    unread: Mapping[str, int] = MappingProxyType({})
    """What was found in the input and is not read, by kind."""

    @property
    def gpu_hours(self) -> float:
        """Of all stages."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def cost(self) -> float:
        """Of all stages, in `currency`."""
        return sum(stage.cost for stage in self.stages)


def plan(
    config: Config,
    source: str,
    output: str | None = None,
    *,
    pipeline: str | None = None,
    beam: Sequence[str] = (),
    limit: int | None = None,
    ask: bool = False,
) -> Plan:
    """Checks all that a build checks before its first question, and returns what it will take.

    Reads the headers of some images and writes nothing. With `ask`, also asks every endpoint of
    the config a question of each stage, as a build does first, and measures the speeds that the
    config's prices do not name. Raises as `build` would.
    """
    storage.configure(config.storage, _storage_options(beam))
    ready = preflight(config, source, output, pipeline, limit)
    if not ask:
        made = make_plan(ready.files, ready.images, ready.config, ready.stages)
        return made._replace(unread=ready.unread)
    found = rehearse(ready.config, ready.stages)
    speeds = measure_speeds(ready.config, ready.stages, found.dialects)
    lines = found.lines() + [
        f"model {name}: {speed:,.0f} completion tokens/s of one endpoint, prompts included"
        for name, speed in speeds.items()
    ]
    lines += [
        f"model {name}: not asked, as the build starts its server"
        for name, model in ready.config.models.items()
        if not model.endpoints
    ]
    config = replace(ready.config, prices=_with_speeds(ready.config.prices, speeds))
    made = make_plan(ready.files, ready.images, config, ready.stages)
    return made._replace(found=lines, unread=ready.unread)


def _with_speeds(prices: PricesConfig, speeds: Mapping[str, float]) -> PricesConfig:
    """Returns `prices` with the measured `speeds` of models that have none."""
    models = dict(prices.models)
    for name, speed in speeds.items():
        price = models.get(name, PriceConfig())
        if not price.prompt_tokens_per_s and not price.completion_tokens_per_s:
            models[name] = replace(price, completion_tokens_per_s=speed)
    return replace(prices, models=models)


def _storage_options(beam: Sequence[str]) -> storage.Options:
    if not beam:
        return {}
    from finehard.beam import run  # a second of imports

    return run.storage_options(run.options(list(beam)))


def make_plan(
    files: list[SourceFile], images: int, config: Config, stages: Sequence[Stage]
) -> Plan:
    """Returns the plan for `images` inputs in `files`."""
    sampled, width, height = _average_size(files, config)
    prices = config.prices
    scale = min(1.0, config.images.max_side / max(width, height))
    crop_side = config.images.crop_side * 0.8
    average = AverageImage(
        _image_tokens(width * scale, height * scale, prices.image_token_side),
        _image_tokens(crop_side, crop_side, prices.image_token_side),
        prices.regions_per_image,
        config.negatives.per_region,
    )
    planned = [_stage(stage, images, average, config) for stage in stages]
    asked = [stage for stage in planned if stage is not None]
    wall = sum(stage.gpu_hours for stage in asked) / max(1, prices.gpus)
    shards = shard_count(images, config.shards)
    return Plan(len(files), images, shards, sampled, width, height, asked, prices.currency, wall)


def _stage(stage: Stage, images: int, average: AverageImage, config: Config) -> StagePlan | None:
    """Returns the plan of one stage; None for one that needs no GPU."""
    prices = config.prices
    if isinstance(stage, Detect):
        speed = prices.detector_images_per_s
        hours = images / speed / 3600 if speed else 0.0
        return StagePlan(stage.name, config.detect.model, 0, 0, 0, hours, hours * prices.gpu_hour)
    if stage.model is None:
        return None
    estimate = stage.estimate(average) or Estimate(0, 0, 0)
    requests = round(images * estimate.requests)
    prompts = round(requests * estimate.prompt_tokens)
    completions = round(requests * estimate.completion_tokens)
    price = prices.models.get(stage.model, PriceConfig())
    seconds = 0.0
    if price.prompt_tokens_per_s:
        seconds += prompts / price.prompt_tokens_per_s
    if price.completion_tokens_per_s:
        seconds += completions / price.completion_tokens_per_s
    hours = seconds / 3600
    tokens_cost = prompts * price.prompt_per_million + completions * price.completion_per_million
    cost = hours * prices.gpu_hour + tokens_cost / 1e6
    model = config.models[stage.model].model
    return StagePlan(stage.name, model, requests, prompts, completions, hours, cost)


def _image_tokens(width: float, height: float, side: int) -> float:
    return max(1, round(width / side)) * max(1, round(height / side))


def _average_size(files: list[SourceFile], config: Config) -> tuple[int, int, int]:
    """Number of images looked at, and their mean width and height in pixels."""
    sizes = []
    step = max(1, len(files) // 8)
    for file in files[::step][:8]:
        unit = next(iter(units(file, config.source)), None)
        for item in islice(read(unit, config.source), _SAMPLED // 8) if unit else ():
            if isinstance(item, Loaded):
                try:
                    sizes.append(header(item.data, config.images)[1:])
                except ImageError:
                    continue
    if not sizes:
        return 0, config.images.max_side, config.images.max_side
    widths, heights = zip(*sizes, strict=True)
    return len(sizes), round(sum(widths) / len(sizes)), round(sum(heights) / len(sizes))
