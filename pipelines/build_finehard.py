"""Images in, FineHARD shards out: the whole build, in the order in which the data flows.

To add a stage of your own, write it as a `finehard.stages.stage.Stage` (asks a model) or as a
function of a record, and put a line where it belongs below: `AskModel(YourStage(...), build)` or
`Apply("name", make, build)`. Journal, retries, rejects and progress come with it.
"""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from finehard.beam.apply import Apply
from finehard.beam.ask import AskModel
from finehard.beam.detect import Detect
from finehard.beam.read import ReadSources
from finehard.beam.write import WriteShards
from finehard.negatives import Negatives
from finehard.negatives.lexicon import lexicon_negatives
from finehard.phrases.stage import find_phrases
from finehard.sources import SourceFile
from finehard.stages.caption import Caption
from finehard.stages.min_regions import enough_regions
from finehard.stages.regions import Regions
from finehard.stages.verify import Verify
from finehard.state.provenance import provenance
from finehard.worker.runtime import Build


def build_finehard(pipeline: beam.Pipeline, files: list[SourceFile], build: Build) -> Any:
    """Adds the build of `files` to `pipeline`."""
    config = build.config
    caption = Caption(config.caption)
    regions = Regions(config.regions)
    negatives = Negatives(config.negatives)
    verify = Verify(config.verify)
    hard_negatives = (
        Apply("negatives", lexicon_negatives, build)
        if config.negatives.backend == "lexicon"
        else AskModel(negatives, build)
    )

    images, counted = pipeline | "sources" >> ReadSources(files, build)
    finished = (
        images
        | "caption" >> AskModel(caption, build)
        | "phrases" >> Apply("phrases", find_phrases, build)
        | "detect" >> Detect(build)
        | "regions" >> AskModel(regions, build)
        | "negatives" >> hard_negatives
        | "verify" >> AskModel(verify, build)
        | "keep" >> Apply("keep", enough_regions, build)
    )
    made_by = provenance([caption, regions, negatives, verify], config)
    return finished | "shards" >> WriteShards(build, made_by, counted)
