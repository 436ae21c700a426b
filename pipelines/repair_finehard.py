"""A finished dataset in, the same repaired out: what was found untrue or is missing is made anew.

`finehard repair` runs it. Captions, boxes, and all texts that were not found untrue stay as they
are, and no model is asked about them.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from finehard.beam.read import ReadSources
from finehard.beam.stages import run_stage
from finehard.beam.write import WriteShards
from finehard.negatives.correct import CorrectNegatives
from finehard.repair.keep import Keep, Unmark
from finehard.sources import SourceFile
from finehard.stages.correct_texts import CorrectTexts
from finehard.stages.min_regions import MinRegions
from finehard.stages.verify_corrected import VerifyCorrected
from finehard.worker.runtime import Build

STAGES = (
    Keep,  # what is there counts as confirmed; missing hard negatives get a place
    CorrectTexts,  # region texts that were found untrue -> new ones
    CorrectNegatives,  # hard negatives that were found true, and missing ones -> new ones
    VerifyCorrected,  # are the new texts true, and the new negatives false?
    Unmark,  # what nobody verified is unverified again
    MinRegions,
)


def repair_finehard(pipeline: beam.Pipeline, files: list[SourceFile], build: Build) -> Any:
    """Adds the repair of the shards `files` to `pipeline`."""
    records, counted = pipeline | "sources" >> ReadSources(files, build)
    for stage in build.stages():
        records = records | stage.name >> run_stage(stage, build)
    return records | "shards" >> WriteShards(build, counted)
