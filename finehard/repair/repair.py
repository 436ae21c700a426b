"""Repairs a dataset: a build on its shards that makes anew what was found untrue or is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from finehard.building import Built, Progress, build
from finehard.config import Config
from finehard.dataset.reader import open_dataset
from finehard.digest import json_digest
from finehard.io import storage
from finehard.io.storage import project_file
from finehard.repair.keep import Keep, KeepConfig
from finehard.repair.source import SPEC

PIPELINE = "repair_finehard"


def repair(
    config: Config, dataset: str, output: str, *, beam: Sequence[str] = (),
    progress: Progress | None = None,
) -> Built:  # fmt: skip
    """Builds `output` from the finished dataset `dataset` with the models of `config`.

    Region texts and hard negatives that were found untrue (`verified` false) and hard negatives
    that a region lacks (`negatives.per_region`) are made anew and verified; what is not confirmed
    is left out. All else stays as it is and is asked nothing. Raises as `build` does.
    """
    source = open_dataset(dataset)
    kept = KeepConfig(config.negatives.per_region, json_digest(source.manifest["stages"])[:16])
    config = replace(
        config,
        source=replace(config.source, format=SPEC),
        verify=replace(config.verify, policy="correct"),
        stages={**config.stages, Keep.name: asdict(kept)},
    )
    pipeline = str(project_file("pipelines", f"{PIPELINE}.py"))
    shards = storage.join(source.uri, "shards")
    return build(config, shards, output, pipeline=pipeline, beam=beam, progress=progress)
