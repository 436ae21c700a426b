"""Images in, FineHARD shards out: the whole build, in the order in which the data flows.

To add a stage of your own, copy this file, put the stage's class where it belongs in `STAGES`, and
run `finehard build --pipeline YOUR_FILE.py ...`. Journal, retries, rejects, progress, plan,
provenance and report go by `STAGES`. See docs/adding-a-stage.md.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from finehard.beam.read import ReadSources
from finehard.beam.stages import run_stage
from finehard.beam.write import WriteShards
from finehard.curate.stage import Curate
from finehard.detect.stage import Detect
from finehard.negatives import Negatives
from finehard.negatives.correct import CorrectNegatives
from finehard.negatives.half_truths import HalfTruths
from finehard.phrases.stage import Phrases
from finehard.sources import SourceFile
from finehard.stages.caption import Caption
from finehard.stages.correct_texts import CorrectTexts
from finehard.stages.min_regions import MinRegions
from finehard.stages.regions import Regions
from finehard.stages.verify import Verify
from finehard.stages.verify_caption import VerifyCaption
from finehard.stages.verify_corrected import VerifyCorrected
from finehard.worker.runtime import Build

STAGES = (
    Curate,  # images that are not wanted -> rejects, where the config says so
    Caption,  # image -> short and long caption
    VerifyCaption,  # false statements are cut out of the captions; by verify.captions
    Phrases,  # long caption -> noun phrases that can be located
    Detect,  # phrases -> boxes
    Regions,  # boxes -> a caption for each
    Negatives,  # short expressions -> texts with one attribute swapped
    Verify,  # is each region text true, and each negative false?
    CorrectTexts,  # untrue region texts -> new ones; this and the next two by verify.policy
    CorrectNegatives,  # negatives that are true -> others
    VerifyCorrected,  # the same questions about what is new
    HalfTruths,  # captions and long expressions -> false versions; by half_truths.texts
    MinRegions,  # too few regions left: a reject
)


def build_finehard(pipeline: beam.Pipeline, files: list[SourceFile], build: Build) -> Any:
    """Adds the build of `files` to `pipeline`: sources -> stages -> shards."""
    records, counted = pipeline | "sources" >> ReadSources(files, build)
    for stage in build.stages():
        records = records | stage.name >> run_stage(stage, build)
    return records | "shards" >> WriteShards(build, counted)
