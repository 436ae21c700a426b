"""Checks everything that can be checked before a server is started or a question asked."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from finehard.config import Config, resolved
from finehard.dataset.layout import JOURNAL, MANIFEST
from finehard.dataset.removals import Entry, read_list
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.pipeline import Pipeline, load_pipeline, make_stages
from finehard.sources import SourceFile, survey
from finehard.stages.stage import Stage
from finehard.state.settings_snapshot import with_shard_size


class Ready(NamedTuple):
    """What a build and a plan start from. `config` has every model's revision and the size of
    shards; `unread` counts by kind what was found in the input and is not read; `removals` is what
    the config's list names."""

    config: Config
    source: str
    output: str | None
    pipeline: Pipeline
    stages: tuple[Stage, ...]
    files: list[SourceFile]
    images: int
    unread: Mapping[str, int]
    removals: list[Entry]


def preflight(
    config: Config,
    source: str,
    output: str | None,
    pipeline: str | None,
    limit: int | None = None,
) -> Ready:
    """Makes the stages, looks at the output, and opens and counts the input.

    Raises `UsageError` where an argument or setting is wrong, `FinehardError` where a package, a
    model, the input or a store is missing. Writes nothing.
    """
    source = storage.local(source)
    chosen = load_pipeline(pipeline)
    stages = make_stages(chosen, config)
    for stage in stages:
        stage.check(config)
    _check_server_model(config)
    if output is not None:
        output = storage.local(output)
        check_output(output, source)
    removals = read_list(config.source.removal_list) if config.source.removal_list else []
    files, unread = survey(source, config.source, limit)
    images = sum(file.samples or 0 for file in files)
    if images == 0:
        raise FinehardError(f"{source} holds no images")
    made = with_shard_size(resolved(config), output, images)
    return Ready(made, source, output, chosen, stages, files, images, unread, removals)


def check_output(output: str, source: str) -> None:
    """Raises `UsageError` where a dataset cannot be built from `source` into `output`.

    Neither may lie in the other: a build would read its own shards as input, or delete its input.
    """
    if (relation := _overlap(_resolved(output), _resolved(source))) is not None:
        raise UsageError(f"output {output} {relation} input {source}: choose another folder")
    if storage.is_remote(output):
        storage.exists(storage.join(output, MANIFEST))  # tells of a store that is out of reach
        return
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"output {output} is a file, not a folder")
    if os.path.isdir(output):
        names = os.listdir(output)
        if names and JOURNAL not in names and MANIFEST not in names:
            raise UsageError(
                f"output {output} holds other files ({names[0]}): choose an empty folder"
            )
    existing = os.path.abspath(output)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write output {output}: {existing} is not a writable folder")


def _resolved(path: str) -> str:
    """An absolute path without links, or a URI without empty or relative parts."""
    if not storage.is_remote(path):
        return os.path.realpath(path)
    scheme, _, rest = path.partition("://")
    return f"{scheme.lower()}://{posixpath.normpath(rest.lstrip('/'))}"


def _overlap(output: str, source: str) -> str | None:
    if output == source:
        return "is the"
    if _below(output, source):
        return "lies inside the"
    return "contains the" if _below(source, output) else None


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _check_server_model(config: Config) -> None:
    """Raises `FinehardError` where the server's model is a folder that does not exist."""
    if config.server is None or all(model.endpoints for model in config.models.values()):
        return
    model = config.server.engine.model
    if os.path.isabs(model) and not os.path.exists(model):
        raise FinehardError(f"server.engine.model: there is no {model}")
