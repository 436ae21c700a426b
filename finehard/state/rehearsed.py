"""What the servers were found to take, saved so that a resumed build does not ask again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from finehard.config import Config
from finehard.digest import digest
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.lmm.config import NEWER
from finehard.lmm.dialect import Dialect
from finehard.rehearsal import Rehearsal
from finehard.stages.stage import Limits, Stage


def load(output: str, config: Config, stages: Sequence[Stage]) -> Rehearsal:
    """Returns what was saved of those `stages` whose settings, model and endpoints are the same."""
    try:
        saved = json.loads(storage.read_all(_uri(output)))
        limits = {
            stage.name: Limits(*saved["stages"][stage.name]["limits"])
            for stage in stages
            if saved["stages"].get(stage.name, {}).get("of") == _subject(config, stage)
        }
        models = {stage.model for stage in stages if stage.name in limits}
        dialects = {
            name: Dialect(**{**values, "left_out": tuple(values["left_out"])})
            for name, values in saved["dialects"].items()
            if name in models
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, FinehardError):
        return Rehearsal({}, {})
    return Rehearsal(dialects, limits)


def save(output: str, config: Config, stages: Sequence[Stage], found: Rehearsal) -> None:
    """Saves `found`, what is known of all `stages`, for later runs."""
    values = {
        "dialects": {name: asdict(dialect) for name, dialect in found.dialects.items()},
        "stages": {
            stage.name: {
                "of": _subject(config, stage),
                "limits": found.limits[stage.name],
            }
            for stage in stages
        },
    }
    storage.write(_uri(output), json.dumps(values, indent=1).encode())


def forget(output: str) -> None:
    """Makes the next run ask again, as after one that the servers ended."""
    storage.delete([_uri(output)])


def _uri(output: str) -> str:
    return storage.join(output, storage.JOURNAL, "servers.json")


def _subject(config: Config, stage: Stage) -> str:
    model = config.models[stage.model] if stage.model else None
    asked = [getattr(model, name) for name in ("endpoints", *NEWER)] if model else []
    return digest([asked, stage.provenance(config), config.detect.max_boxes])
