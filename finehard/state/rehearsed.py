"""What the servers were found to take, saved so that a resumed build does not ask again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

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
    saved = _saved(output)
    dialects: dict[str, Dialect] = {}
    limits: dict[str, Limits] = {}
    for stage in stages:
        entry = saved.get(_subject(config, stage))
        if entry is None:
            continue
        limits[stage.name] = Limits(*entry["limits"])
        if stage.model is not None and entry["dialect"] is not None:
            values = {**entry["dialect"], "left_out": tuple(entry["dialect"]["left_out"])}
            dialects[stage.model] = Dialect(**values)
    return Rehearsal(dialects, limits)


def save(output: str, config: Config, stages: Sequence[Stage], found: Rehearsal) -> None:
    """Saves `found`, what is known of all `stages`, beside what earlier runs found with other
    settings."""
    entries = _saved(output)
    for stage in stages:
        dialect = found.dialects.get(stage.model or "")
        entries[_subject(config, stage)] = {
            "stage": stage.name,
            "limits": found.limits[stage.name],
            "dialect": asdict(dialect) if dialect else None,
        }
    storage.write(_uri(output), json.dumps(entries, indent=1).encode())


def _saved(output: str) -> dict[str, Any]:
    try:
        entries = json.loads(storage.read_all(_uri(output)))
        return {
            subject: entry
            for subject, entry in entries.items()
            if {"limits", "dialect"} <= entry.keys()
        }
    except (OSError, ValueError, AttributeError, FinehardError):
        return {}


def forget(output: str) -> None:
    """Makes the next run ask again, as after one that the servers ended."""
    storage.delete([_uri(output)])


def _uri(output: str) -> str:
    return storage.join(output, storage.JOURNAL, "servers.json")


def _subject(config: Config, stage: Stage) -> str:
    model = config.models[stage.model] if stage.model else None
    asked = [getattr(model, name) for name in ("endpoints", *NEWER)] if model else []
    return digest([asked, stage.provenance(config), config.detect.max_boxes])
