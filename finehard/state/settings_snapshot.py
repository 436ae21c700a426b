"""The settings an output was built with, saved beside its journal to detect changes later."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finehard.config import PACKAGE_FOLDER, Config, as_dict
from finehard.dataset.layout import JOURNAL, MANIFEST, shard_size
from finehard.digest import json_digest, source_hash
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.lmm.config import NEWER
from finehard.registry import UserCode
from finehard.schemas import ReplySchema
from finehard.stages.provenance import provenance
from finehard.stages.stage import Stage

_NOT_IN_THE_DATA = {
    "": {"server", "prices", "when_changed", "max_rejected"},
    "models.*": {"endpoints", "api_key_env", "window", "timeout_s", "attempts", "outage_s", *NEWER},
    "detect": {
        "device",
        "batch_size",
        "threads",
        "allow_pickle",
        "endpoints",
        "timeout_s",
        "outage_s",
    },
    "images": {"cache_bytes"},
    "source": {"removal_list"},
}
"""Settings that affect how a dataset is built, but not its content."""
_FILES = re.compile(r"detect\.(model|text_model)|([a-z]+|recaption\.captioners\.[^.]+)\.prompt")
"""Settings that name files: the stage's fingerprint changes if their content does."""
_MAX_NAMED = 4
"""Maximum number of changed settings that are named; the rest are counted."""


def refuse_changes(output: str, config: Config, stages: Sequence[Stage]) -> None:
    """Raises `UsageError` if `when_changed` is "refuse" and `config`, resolved, differs from the
    settings that `output` was built with."""
    before = _load_settings(output) if config.when_changed == "refuse" else None
    if before is None:
        return
    now = _settings(config, stages)
    order = [stage.name for stage in stages if stage.name in now["stages"]]
    redone = [s for s in order if _fingerprint(before, s) != _fingerprint(now, s)]
    changed = [
        (key, values)
        for key, values in _changed(before["config"], now["config"])
        if not _FILES.fullmatch(key) or key.split(".", 1)[0] in redone
    ]
    if changed or redone:
        raise UsageError(_message(output, changed, redone, order))


def with_shard_size(config: Config, output: str | None, images: int) -> Config:
    """Returns `config` with a number of samples per shard where it has none: that which `output`
    was begun with, else by the number of `images`."""
    if config.shards.samples_per_shard is not None:
        return config
    before = (_load_settings(output) if output else None) or {"config": {}}
    begun = (before["config"].get("shards") or {}).get("samples_per_shard")
    size = begun if type(begun) is int and begun > 0 else shard_size(images, config.shards)
    return replace(config, shards=replace(config.shards, samples_per_shard=size))


def save_settings(output: str, config: Config, stages: Sequence[Stage]) -> None:
    """Saves `config`, resolved, as the settings that `output` is built with from now on. Raises
    `FinehardError` if it cannot be written."""
    uri = _uri(output)
    try:
        storage.write(uri, json.dumps(_settings(config, stages), indent=1).encode())
    except OSError as error:
        raise FinehardError(f"cannot write {uri}: {error.strerror or error}") from error


def settings_digest(config: Config, stages: Sequence[Stage], code: UserCode) -> str:
    """Returns a digest of all but the input that decides a dataset: settings, stages, the reply
    schemas they ask with, the code of finehard and `code`, the user's own."""
    schemas = [v.digest for s in stages for v in vars(s).values() if isinstance(v, ReplySchema)]
    kinds = [[stage.name, type(stage).__qualname__, stage.version] for stage in stages]
    settings = _settings(config, stages)
    settings["config"] = _in_the_data(settings["config"])
    return json_digest([settings, kinds, schemas, source_hash(PACKAGE_FOLDER), code.sources])


def _in_the_data(values: Any, path: str = "") -> Any:
    """Returns settings without those that do not affect the content."""
    if not isinstance(values, dict):
        return values
    inside = re.sub(r"^models\.[^.]*$", "models.*", path)
    return {
        name: _in_the_data(value, f"{path}.{name}" if path else name)
        for name, value in values.items()
        if name not in _NOT_IN_THE_DATA.get(inside, set())
    }


def _uri(output: str) -> str:
    return storage.join(output, JOURNAL, "settings.json")


def _settings(config: Config, stages: Sequence[Stage]) -> dict[str, Any]:
    values = json.loads(json.dumps(as_dict(config)))  # as they will be read: lists, not tuples
    return {"stages": provenance(stages, config).stages, "config": values}


def _load_settings(output: str) -> dict[str, Any] | None:
    """Returns the settings that `output` was built with; None if they are unknown."""
    for uri in (_uri(output), storage.join(output, MANIFEST)):
        if not storage.exists(uri):
            continue
        try:
            read = json.loads(storage.read_all(uri))
            return {"stages": dict(read["stages"]), "config": dict(read["config"])}
        except (ValueError, KeyError, TypeError):
            continue  # damaged: the other may be readable
    return None


def _fingerprint(settings: dict[str, Any], stage: str) -> Any:
    return (settings["stages"].get(stage) or {}).get("fingerprint")


def _changed(before: Any, now: Any, path: str = "") -> list[tuple[str, str]]:
    """Returns the key and values of each setting that differs. Settings that only one side has, as
    after an update of finehard, are left to the fingerprints."""
    if isinstance(before, dict) and isinstance(now, dict):
        inside = re.sub(r"^models\.[^.]*$", "models.*", path)
        names = sorted({*before} & {*now} - _NOT_IN_THE_DATA.get(inside, set()))
        return [
            change
            for name in names
            for change in _changed(before[name], now[name], f"{path}.{name}" if path else name)
        ]
    return [] if before == now else [(path, f"{_short(before)} -> {_short(now)}")]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"...{text[-57:]}"  # paths differ at their end


def _message(
    output: str, changed: list[tuple[str, str]], redone: list[str], order: list[str]
) -> str:
    named = [f"{key} {values}" for key, values in changed[:_MAX_NAMED]]
    changes = ", ".join(named) or "a prompt, model or finehard itself has other content"
    if len(changed) > _MAX_NAMED:
        changes += f" and {len(changed) - _MAX_NAMED} more"
    affected = {*redone, *(key.split(".", 1)[0] for key, _ in changed)}
    first = next((at for at, stage in enumerate(order) if stage in affected), len(order))
    later = [stage for stage in order[first + 1 :] if stage not in redone]
    effect = f"{', '.join(redone) or 'no stage'} would be done again"
    if later:
        effect += f", {', '.join(later)} where their question changes"
    return (
        f"{output} was built with other settings: {changes}; {effect}. Use the earlier settings, "
        "another output, or when_changed: redo"
    )
