"""What a build will take: requests, tokens, GPU hours and cost, from the input and the config."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from finehard.settings.ranges import Amount, Count, Positive

if TYPE_CHECKING:
    from finehard.config import Config
    from finehard.sources import SourceFile

_CHARS_PER_TOKEN = 4.0
_TOKENS_PER_WORD = 1.4
_SAMPLED = 64


@dataclass(frozen=True)
class PriceConfig:
    """What one model's tokens cost. Speeds are tokens per second of one GPU under full load."""

    prompt_per_million: Amount = 0.0
    completion_per_million: Amount = 0.0
    prompt_tokens_per_s: Amount = 0.0
    completion_tokens_per_s: Amount = 0.0


@dataclass(frozen=True)
class PricesConfig:
    """The price table, and what an average image is expected to hold."""

    currency: str = "USD"
    gpu_hour: Amount = 0.0
    """Price of one hour of one GPU."""
    gpus: Count = 1
    """GPUs at work at once, for the wall-clock estimate."""
    models: dict[str, PriceConfig] = field(default_factory=dict)
    """By the names under `models`."""
    regions_per_image: Amount = 4.0
    image_token_side: Positive = 32
    """Pixels on a side of what becomes one image token: 32 in Qwen3-VL (patches of 16 px, merged
    2 x 2), 28 in Qwen2-VL and Qwen2.5-VL."""
    detector_images_per_s: Amount = 0.0
    """Images per second of one GPU."""


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

    @property
    def gpu_hours(self) -> float:
        """Of all stages."""
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def cost(self) -> float:
        """Of all stages, in `currency`."""
        return sum(stage.cost for stage in self.stages)


def make_plan(files: list[SourceFile], images: int, config: Config) -> Plan:
    """The plan for `images` inputs in `files`. Reads the headers of some images, asks no model."""
    from finehard.dataset.layout import shard_count

    sampled, width, height = _average_size(files, config)
    scale = min(1.0, config.images.max_side / max(width, height))
    side = config.prices.image_token_side
    whole = _image_tokens(width * scale, height * scale, side)
    crop = _image_tokens(config.images.crop_side * 0.8, config.images.crop_side * 0.8, side)
    regions = config.prices.regions_per_image
    negatives = config.negatives.per_region
    statements = 2 + negatives
    text = {
        "caption": _text_tokens("caption", config),
        "regions": _text_tokens("regions", config) + 8 * regions,
        "negatives": _text_tokens("negatives", config) + 10 * regions,
        "verify": _text_tokens("verify", config) + 16 * statements,
    }
    shown = {"caption": whole, "regions": crop * regions, "negatives": 0, "verify": crop}
    said = {
        "caption": (config.caption.long_words + 25) * _TOKENS_PER_WORD + 20,
        "regions": 30 * regions + 10,
        "negatives": 24 * config.negatives.ask_for * regions + 10,
        "verify": 3 * statements + 10,
    }
    requests = dict.fromkeys(text, images)
    if not negatives:
        requests["negatives"] = 0
    requests["verify"] = 0 if config.verify.policy == "skip" else round(images * regions)
    stages = [
        _stage(stage, requests[stage], text[stage] + shown[stage], said[stage], config)
        for stage in ("caption", "regions", "negatives", "verify")
    ]
    speed = config.prices.detector_images_per_s
    hours = images / speed / 3600 if speed else 0.0
    detect = StagePlan(
        "detect", config.detect.model, 0, 0, 0, hours, hours * config.prices.gpu_hour
    )
    stages.insert(1, detect)
    wall = sum(stage.gpu_hours for stage in stages) / max(1, config.prices.gpus)
    shards = shard_count(images, config.shards)
    return Plan(
        len(files), images, shards, sampled, width, height, stages, config.prices.currency, wall
    )


def _stage(
    stage: str, requests: int, prompt: float, completion: float, config: Config
) -> StagePlan:
    """`prompt` and `completion` are tokens of one request."""
    model = getattr(config, stage).model
    price = config.prices.models.get(model, PriceConfig())
    prompts, completions = round(requests * prompt), round(requests * completion)
    seconds = 0.0
    if price.prompt_tokens_per_s:
        seconds += prompts / price.prompt_tokens_per_s
    if price.completion_tokens_per_s:
        seconds += completions / price.completion_tokens_per_s
    hours = seconds / 3600
    cost = (
        hours * config.prices.gpu_hour
        + (prompts * price.prompt_per_million + completions * price.completion_per_million) / 1e6
    )
    return StagePlan(stage, config.models[model].model, requests, prompts, completions, hours, cost)


def _image_tokens(width: float, height: float, side: int) -> float:
    return max(1, round(width / side)) * max(1, round(height / side))


def _text_tokens(stage: str, config: Config) -> float:
    from finehard.io.storage import project_file

    name = getattr(config, stage).prompt
    path = name if name.endswith(".md") else project_file("prompts", f"{name}.md")
    with open(path, encoding="utf-8") as file:
        return len(file.read()) / _CHARS_PER_TOKEN


def _average_size(files: list[SourceFile], config: Config) -> tuple[int, int, int]:
    """Number of images looked at, and their mean width and height in pixels."""
    from finehard.images import ImageError, header
    from finehard.sources import Loaded, read, units

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
