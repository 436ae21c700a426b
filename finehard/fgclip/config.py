"""The config of a training run: one YAML file, read strictly, or the name of a bundled recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import TypeAdapter, ValidationError
from transformers import CLIPConfig

from finehard.errors import UsageError
from finehard.fgclip.objective import ObjectiveConfig
from finehard.fgclip.sample import SampleConfig
from finehard.storage import project_file


@dataclass(frozen=True)
class ScratchConfig:
    """A new model with random weights, and a tokenizer made from the shards' texts."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    image_size: int = 96
    patch_size: int = 12
    width: int = 192
    layers: int = 6
    heads: int = 3
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 2
    projection: int = 128
    vocabulary: int = 4096
    """Tokens, at most."""
    samples: int = 20_000
    """Samples whose texts the tokenizer is learned from."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warmup and cosine decay to 0."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    batch_size: int = 512
    """Images of a step, in all processes together."""
    accumulate: int = 1
    """Parts that a step's images are worked on in. Each part finds its negatives in itself."""
    epochs: float = 1.0
    steps: int | None = None
    """Ends the run after so many steps, whatever `epochs` says."""
    lr: float = 1e-6
    weight_decay: float = 0.001
    """Not of biases, norms and scales."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    warmup_steps: int = 200
    clip_norm: float = 1.0
    """0: gradients are not clipped."""


@dataclass(frozen=True)
class RunConfig:
    """What changes speed and bookkeeping, not the result (but for precision and seed)."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = False
    workers: int = 4
    """Processes that read and decode, for each training process."""
    shuffle_shards: int = 16
    """Shards whose samples are mixed with each other."""
    cache_gb: float = 50.0
    """Disk for remote shards, on each machine."""
    log_every: int = 10
    save_every: int = 500
    keep: int = 2
    """Checkpoints kept; older ones are removed."""
    eval_every: int = 0
    """Steps between evaluations; 0: only at the end."""
    eval_samples: int = 1000
    """Samples of the evaluation data that are looked at during training."""


@dataclass(frozen=True)
class TrainConfig:
    """All of a run's settings. Without `scratch`, a model folder must be given."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

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
    bundled = project_file(RECIPES, f"{name}.yaml")
    path = bundled if "/" not in name and bundled.is_file() else Path(name)
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
    except OSError:
        known = ", ".join(sorted(p.stem for p in bundled.parent.glob("*.yaml")))
        raise UsageError(f"no config {name!r}: give a YAML file, or one of {known}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a config is a mapping of sections")
    for setting in settings or []:
        where, _, value = setting.partition("=")
        section, _, key = where.partition(".")
        if not key or "=" not in setting:
            raise UsageError(f"{setting!r} is no setting: give section.key=value")
        if values.get(section) is None:
            values[section] = {}
        values[section][key] = yaml.safe_load(value)
    return parse_train_config(values, str(path))


def parse_train_config(values: dict[str, Any], where: str) -> TrainConfig:
    """`values`, as YAML gives them, as a config. Raises `UsageError`."""
    try:
        return TypeAdapter(TrainConfig).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {place}: {first['msg'].lower()}") from None


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
