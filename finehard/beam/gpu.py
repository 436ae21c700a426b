"""Marks the steps that need a GPU, for runners with machines of several types."""

from __future__ import annotations

import apache_beam as beam

from finehard.worker.runtime import Build


def on_gpu(step: beam.PTransform, build: Build) -> beam.PTransform:
    """Returns `step`, to run on machines with a GPU where the config names them (Dataflow).

    All steps from reading to spilling do, also those without a model: they are one fused step,
    which shares images and journal in its process. Listing units and writing shards need no GPU.
    Where all models and the detector have endpoints, no step needs one.
    A process that joins a build claims units as part of that step, so it is left as it is.
    """
    config = build.config
    served = [config.detect.endpoints, *(model.endpoints for model in config.models.values())]
    machines = None if build.joined or all(served) else config.dataflow
    return step if machines is None else step.with_resource_hints(accelerator=machines.hint())
