"""The config of a training run: a YAML file, read strictly, or the name of a bundled recipe.

Imports no torch, so that a wrong config is refused at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Lt

from finehard import registry
from finehard.errors import UsageError
from finehard.fgclip.targets import SampleConfig
from finehard.settings.ranges import Amount, Count, Positive, Share
from finehard.settings.read import checked, overridden, read_yaml

if TYPE_CHECKING:
    from transformers import CLIPConfig, Siglip2Config


EVALUATOR_NAMES = ("retrieval", "region_classification", "hard_negatives")
"""Those of `finehard.fgclip.evaluators`."""


@dataclass(frozen=True)
class ModelConfig:
    """Which model is trained."""

    backbone: Literal["auto", "clip", "siglip2"] = "auto"
    """That of the model folder; from scratch, `auto` is CLIP. siglip2 is FG-CLIP 2's."""


@dataclass(frozen=True)
class ScratchConfig:
    """A new model with random weights, and a tokenizer trained on the shards' texts.

    With siglip2, `image_size` is only that of the positions, and both towers have `width`.
    """

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
    """Maximum number of tokens."""
    samples: Positive = 20_000
    """Samples whose texts the tokenizer is trained on."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the losses (0 disables one), and which texts are negatives."""

    global_loss: Literal["softmax", "sigmoid"] = "softmax"
    """Loss of images and captions: InfoNCE, or (FG-CLIP 2) SigLIP's, with a bias."""
    long_weight: Amount = 1.0
    short_weight: Amount = 1.0
    region_weight: Amount = 0.1
    """Published: 0.1; FG-CLIP 2: 0.2."""
    hard_weight: Amount = 0.5
    """Weight of the next three together."""
    pair_weight: Amount = 1.0
    """Of a region against its own negatives; FG-CLIP 2: 3."""
    every_weight: Amount = 0.0
    """Of a region against the true and false texts of every region; FG-CLIP 2: 0.6."""
    cmr_weight: Amount = 0.0
    """Of FG-CLIP 2's rank loss, averaged over all pairs; published: 0.4."""
    tic_weight: Amount = 0.0
    """FG-CLIP 2's text-to-text loss, averaged over distinct texts; published: 0.1."""
    half_truth_weight: Amount = 0.0
    """Of an image against the false versions of its captions, as `pair_weight` of a region. Goes
    with `sample.half_truths`; the false versions of long expressions count with `hard_weight`."""
    ranks: Literal["all", "own"] = "all"
    """Whose texts are a region's negatives: those of all processes, or (as published) its own."""
    mask_same: bool = True
    """Exclude texts from the negatives that differ only in case, articles or punctuation."""
    same_above: float | None = None
    """Also exclude texts whose cosine is at least this. Not for training from scratch."""
    max_negatives: Count = 10
    """Maximum number of hard negatives of a region."""
    teacher: str | None = None
    """A folder of a trained model, whose similarities of images and captions are imitated."""
    distill_weight: Amount = 1.0
    """Of imitating `teacher`, where there is one."""
    scales: Literal["model", "global", "hundred"] = "model"
    """The scales of regions and hard negatives when a run begins: as the model has them, set to its
    global scale (FG-CLIP), or to 100 (FG-CLIP 2)."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with linear warmup."""

    batch_size: Positive = 512
    """Images a step, over all processes."""
    accumulate: Positive = 1
    """Parts that a process encodes a step's images in, to save memory: features are computed twice,
    and the result is that of one part."""
    epochs: Amount = 1.0
    steps: Positive | None = None
    """Number of steps; overrides `epochs`."""
    lr: Amount = 1e-6
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warmup: decay to 0 at the last step, or the same rate to the end."""
    lr_text: Amount = 1.0
    """Factor of `lr` for the text tower; the next two: for the vision tower, and for all else:
    heads and scales."""
    lr_vision: Amount = 1.0
    lr_heads: Amount = 1.0
    freeze: Literal["none", "vision", "text"] = "none"
    """A tower that is not trained, with its heads."""
    weight_decay: Amount = 0.001
    """Not applied to biases and norms."""
    decay_scales: bool = False
    """Apply weight decay to scales and the class embedding too, as published."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Amount = 1e-8
    warmup_steps: Count = 200
    warmup_share: Share = 0.0
    """Of all steps, rounded up; if not 0, instead of `warmup_steps`."""
    warmup_from_zero: bool = False
    """Begin at a rate of 0, as published, which wastes a step; else at 1 / `warmup_steps`."""
    clip_norm: Amount = 1.0
    """0: no clipping, as published."""
    max_scale: Amount = 0.0
    """The learned scales are kept at most at this (CLIP: 100); 0: they are free."""
    ema: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Decay a step of an average of the weights, which is evaluated and saved; 0: none."""


@dataclass(frozen=True)
class RunConfig:
    """Speed and bookkeeping; only seed, precision and shuffle_shards change the result."""

    seed: int = 0
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = False
    workers: Count = 4
    """Data loading processes for each training process."""
    shuffle_shards: Positive = 16
    """Shards whose samples are shuffled together."""
    cache_gb: Amount = 50.0
    """Disk space for remote shards on each machine."""
    log_every: Positive = 10
    save_every: Positive = 500
    keep: Positive = 2
    """Number of checkpoints; older ones are removed."""
    eval_every: Count = 0
    """Steps between evaluations; 0: only at the end."""
    eval_samples: Positive = 1000
    """Samples of the evaluation data used during training; the evaluation at the end uses all."""
    evaluators: tuple[str, ...] = EVALUATOR_NAMES
    """Names, or module:attribute of a file beside the config."""
    wandb: str = ""
    """Project of Weights & Biases that the log is sent to as well; empty: none."""
    evaluate: tuple[str, ...] = ()
    """Benchmarks that each evaluation measures too, of those in --benchmark-data."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run. Without `scratch`, a model folder must be given."""

    model: ModelConfig = field(default_factory=ModelConfig)
    scratch: ScratchConfig | None = None
    sample: SampleConfig = field(default_factory=SampleConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)


RECIPES = "configs/train"
LENGTH = (("optimizer", "steps"), ("optimizer", "epochs"))
"""Keys that may change when a run is resumed, if it has no fewer steps then."""


def load_train_config(name: str, settings: Sequence[str] = ()) -> TrainConfig:
    """Returns the config in file `name`, or the bundled recipe of that name.

    `settings` override it (`overridden`). Python files beside the config become importable. Raises
    `UsageError`.
    """
    values, path = read_yaml(name, RECIPES)
    registry.add_path(os.path.dirname(os.path.abspath(path)))
    values, where = overridden({} if values is None else values, settings, path)
    return parse_train_config(values, where)


def parse_train_config(values: dict[str, Any], where: str) -> TrainConfig:
    """Returns `values`, as loaded from YAML, as a config. Raises `UsageError`."""
    config = checked(values, TrainConfig, where)
    if bool(config.sample.half_truths) != bool(config.objective.half_truth_weight):
        raise UsageError(
            f"{where}: sample.half_truths is {config.sample.half_truths}, and objective."
            f"half_truth_weight is {config.objective.half_truth_weight}: set both, or none"
        )
    return config


def as_dict(config: TrainConfig) -> dict[str, Any]:
    """Returns `config` as plain values, defaults included, but no empty `run.evaluate`."""
    values = dataclasses.asdict(config)
    if not config.run.evaluate:
        del values["run"]["evaluate"]
    return values


def resume_fingerprint(config: TrainConfig) -> dict[str, Any]:
    """Returns the part of `config` that the result depends on: it must not change on resume."""
    values = as_dict(config)
    run = values.pop("run")
    del values["model"]  # the checkpoint has it
    return {**values, **{k: run[k] for k in ("seed", "precision", "shuffle_shards")}}


def resume_difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Returns in which key a run's fingerprint `before` differs from that of `now`, with both
    values; "" where it can be resumed.

    `LENGTH` is left to the caller. In fingerprints of earlier releases, what did not exist then has
    its default.
    """
    old = "warmup_from_zero" not in before["optimizer"]
    defaults = as_dict(TrainConfig())
    for key, value in {**now, "weights": now.get("weights")}.items():
        was = before.get(key)
        if key == "weights" and was != value:
            return f"'data': its weights were {_weights(was)}, now {_weights(value)}"
        if not isinstance(value, dict) or not isinstance(was, dict):
            if was != value:
                return f"{key!r}"
            continue
        was = {**(defaults[key] or {}), **was}
        for name in value:
            if was.get(name) != value[name] and (key, name) not in LENGTH:
                return f"'{key}': {name} was {was.get(name)}, now {value[name]}"
    for key, name, plain in (("objective", "cmr_weight", 0), ("objective", "tic_weight", 0),
                             ("optimizer", "accumulate", 1)):  # fmt: skip
        if old and before[key][name] != plain:
            return f"'{key}': an earlier release began it, where {name} had another meaning"
    return ""


def _weights(of_shards: list[tuple[float, int]] | None) -> str:
    return ", ".join(f"{w:g} of {n} shards" for w, n in of_shards or ()) or "all 1"


def scratch_siglip2(config: ScratchConfig, vocabulary: int) -> Siglip2Config:
    """Returns the SigLIP 2 config of a new model; padding, end and begin of text are the first
    tokens."""
    from transformers import Siglip2Config

    def tower(layers: int, heads: int) -> dict[str, int]:
        return {
            "hidden_size": config.width,
            "intermediate_size": 4 * config.width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
        }

    return Siglip2Config(
        text_config={
            "vocab_size": vocabulary,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "bos_token_id": 2,
            **tower(config.text_layers, config.text_heads),
        },
        vision_config={
            "patch_size": config.patch_size,
            "num_patches": (config.image_size // config.patch_size) ** 2,
            **tower(config.layers, config.heads),
        },
    )


def scratch_clip(config: ScratchConfig, vocabulary: int) -> CLIPConfig:
    """Returns the CLIP config of a new model; the last two tokens begin and end a text."""
    from transformers import CLIPConfig

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
