"""Lifts any stage into the pipeline, by what it is: a question, a detection, or a function."""

from __future__ import annotations

import apache_beam as beam

from finehard.beam.apply import Apply
from finehard.beam.ask import AskModel
from finehard.beam.detect import AskDetector
from finehard.beam.gpu import on_gpu
from finehard.detect.stage import Detect
from finehard.stages.stage import Stage
from finehard.worker.runtime import Build


def run_stage(stage: Stage, build: Build) -> beam.PTransform:
    """Returns the transform records -> records and rejects. One fused step; nothing is shuffled."""
    if stage.model is None and not isinstance(stage, Detect):
        return on_gpu(beam.ParDo(Apply(stage.name, build)), build)
    made_by = stage.provenance(build.config)
    assert made_by is not None  # its answers are journaled by this fingerprint
    lifted = AskDetector if isinstance(stage, Detect) else AskModel
    return on_gpu(beam.ParDo(lifted(stage.name, made_by["fingerprint"], build)), build)
