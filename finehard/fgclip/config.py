"""The config of a training run: one YAML file, read strictly, or the name of a bundled recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from transformers import CLIPConfig

from finehard.errors import UsageError
from finehard.fgclip.objective import ObjectiveConfig
from finehard.fgclip.sample import SampleConfig
from finehard.settings.ranges import Amount, Count, Positive
from finehard.settings.read import checked, read_yaml


@dataclass(frozen=True)
class ScratchConfig:
    """A new model with random weights, and a tokenizer made from the shards' texts."""

    image_size: Positive = 96
    patch_size: Positive = 12
    width: Positive = 192
    layers: Positive = 6
    heads: Positive = 3
    text_width: Positive = 128
    text_layers: Positive = 3
    text_heads: Positive = 2
    projection: Positive = 128
    vocabulary: Positive = 4096
    """Tokens, at most."""
    samples: Positive = 20_000
    """Samples whose texts the tokenizer is learned from."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warmup and cosine decay to 0."""

    batch_size: Positive = 512
    """Images of a step, in all processes together."""
    accumulate: Positive = 1
    """Parts that a step's images are worked on in. Each part finds its negatives in itself."""
    epochs: Amount = 1.0
    steps: Positive | None = None
    """Ends the run after so many steps, whatever `epochs` says."""
    lr: Amount = 1e-6
    weight_decay: Amount = 0.001
    """Not of biases, norms and scales."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Amount = 1e-8
    warmup_steps: Count = 200
    clip_norm: Amount = 1.0
    """0: gradients are not clipped."""


@dataclass(frozen=True)
class RunConfig:
    """What changes speed and bookkeeping, not the result (but for precision and seed)."""

    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = False
    workers: Count = 4
    """Processes that read and decode, for each training process."""
    shuffle_shards: Positive = 16
    """Shards whose samples are mixed with each other."""
    cache_gb: Amount = 50.0
    """Disk for remote shards, on each machine."""
    log_every: Positive = 10
    save_every: Positive = 500
    keep: Positive = 2
    """Checkpoints kept; older ones are removed."""
    eval_every: Count = 0
    """Steps between evaluations; 0: only at the end."""
    eval_samples: Positive = 1000
    """Samples of the evaluation data that are looked at during training."""


@dataclass(frozen=True)
class TrainConfig:
    """All of a run's settings. Without `scratch`, a model folder must be given."""

    scratch: ScratchConfig | None = None
    sample: SampleConfig = field(default_factory=SampleConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)


RECIPES = "configs/train"


def load_train_config(name: str, settings: list[str] | None = None) -> TrainConfig:
    """The config in file `name` or the bundled recipe of that name, with `settings` laid over it.

    A setting is "section.key=value", value as in YAML. Raises `UsageError`.
    """
    values, path = read_yaml(name, RECIPES)
    values = {} if values is None else values
    if settings and not isinstance(values, dict):
        raise UsageError(f"{path}: a config is a mapping of sections")
    for setting in settings or []:
        where, _, value = setting.partition("=")
        section, _, key = where.partition(".")
        if not key or "=" not in setting:
            raise UsageError(f"{setting!r} is no setting: give section.key=value")
        if values.get(section) is None:
            values[section] = {}
        if isinstance(values[section], dict):
            values[section][key] = _value(value, setting)
    return parse_train_config(values, f"{path} and --set" if settings else path)


def _value(text: str, setting: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise UsageError(f"{setting!r} is no setting: its value is not YAML") from None


def parse_train_config(values: dict[str, Any], where: str) -> TrainConfig:
    """`values`, as YAML gives them, as a config. Raises `UsageError`."""
    return checked(values, TrainConfig, where)


def as_dict(config: TrainConfig) -> dict[str, Any]:
    """`config` as plain values, defaults filled in."""
    return dataclasses.asdict(config)


def what_decides(config: TrainConfig) -> dict[str, Any]:
    """The part of `config` that decides the result: a run is only continued with the same."""
    values = as_dict(config)
    run = values.pop("run")
    return {**values, **{k: run[k] for k in ("seed", "precision", "shuffle_shards")}}


def scratch_clip(config: ScratchConfig, vocabulary: int) -> CLIPConfig:
    """The CLIP config of a new model; begin and end of text are the last two tokens."""
    ends = {
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
    return CLIPConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": config.text_width,
            "intermediate_size": 4 * config.text_width,
            "num_hidden_layers": config.text_layers,
            "num_attention_heads": config.text_heads,
            "projection_dim": config.projection,
            **ends,
        },
        vision_config={
            "image_size": config.image_size,
            "patch_size": config.patch_size,
            "hidden_size": config.width,
            "intermediate_size": 4 * config.width,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "projection_dim": config.projection,
        },
        projection_dim=config.projection,
    )
