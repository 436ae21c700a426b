"""Images in, captions out: short and long captions by one or several captioners, no regions.

The shards are those of the data contract, with no regions in any sample, for the first stage of
training. `finehard build --pipeline recaption --config recaption ...`; see docs/recaptioning.md.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from finehard.beam.read import ReadSources
from finehard.beam.stages import run_stage
from finehard.beam.write import WriteShards
from finehard.curate.stage import Curate
from finehard.sources import SourceFile
from finehard.stages.recaption import Recaption
from finehard.worker.runtime import Build

STAGES = (
    Curate,  # images that are not wanted -> rejects, where the config says so
    Recaption,  # image -> short and long caption; a stage for each of recaption.captioners
)


def recaption(pipeline: beam.Pipeline, files: list[SourceFile], build: Build) -> Any:
    """Adds the captioning of `files` to `pipeline`: sources -> stages -> shards."""
    records, counted = pipeline | "sources" >> ReadSources(files, build)
    for stage in build.stages():
        records = records | stage.name >> run_stage(stage, build)
    return records | "shards" >> WriteShards(build, counted)
