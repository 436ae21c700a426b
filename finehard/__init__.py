"""finehard makes training data for fine-grained CLIP models from images, and trains one.

The names below are the library's public part. They are imported on first use: `import finehard`
imports neither Beam nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finehard.building import build, join, start
    from finehard.config import load_config
    from finehard.dataset.reader import open_dataset
    from finehard.dataset.validate import validate
    from finehard.planning import plan
    from finehard.records import Record, Reject, reject
    from finehard.schemas import reply_schema
    from finehard.stages.prompts import load_prompt
    from finehard.stages.stage import Ask, Stage

__version__ = "0.1.0"

__all__ = [
    "Ask",
    "Record",
    "Reject",
    "Stage",
    "build",
    "join",
    "load_config",
    "load_prompt",
    "open_dataset",
    "plan",
    "reject",
    "reply_schema",
    "start",
    "validate",
]

_MODULES = {
    "Ask": "stages.stage",
    "Record": "records",
    "Reject": "records",
    "Stage": "stages.stage",
    "build": "building",
    "join": "building",
    "load_config": "config",
    "load_prompt": "stages.prompts",
    "open_dataset": "dataset.reader",
    "plan": "planning",
    "reject": "records",
    "reply_schema": "schemas",
    "start": "building",
    "validate": "dataset.validate",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'finehard' has no attribute {name!r}")
    return getattr(import_module(f"finehard.{_MODULES[name]}"), name)
