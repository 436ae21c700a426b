"""A caption for each box: all boxes of an image in one request, as cut-outs with context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from finehard.records import Record, one_line
from finehard.schemas import reply_schema
from finehard.settings.ranges import Positive
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, numbered, prompt_tokens


@dataclass(frozen=True)
class RegionsConfig:
    """How regions are captioned. `model` is a name under `models`."""

    model: str = "lmm"
    prompt: str = "regions.v1"
    max_tokens: Positive = 96
    """Per region."""


class Regions(Stage):
    """Boxes -> a caption for each."""

    name = "regions"
    version = 2
    config_type = RegionsConfig

    def __init__(self, config: RegionsConfig) -> None:
        self.config = config
        self.model = config.model
        self.prompt: Prompt = load_prompt(config.prompt, "regions", ("count", "phrases"))

    def questions(self, record: Record) -> Sequence[Ask]:
        """A cut-out of each region, and the phrases they were found by."""
        regions = record.regions
        if not regions:
            return ()
        phrases = numbered([fence(region.phrase, 100) for region in regions])
        ask = Ask(
            self.prompt.render(count=len(regions), phrases=phrases),
            tuple(region.box for region in regions),
            reply_schema("regions", len(regions)),
            32 + self.config.max_tokens * len(regions),
        )
        return (ask,)

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """`record` with each region's `long_expr`."""
        [value] = values
        captions = [one_line(value[str(n)]).rstrip(". ") for n in range(1, len(value) + 1)]
        return replace(
            record,
            regions=tuple(
                replace(region, long_expr=caption or region.long_expr)
                for region, caption in zip(record.regions, captions, strict=True)
            ),
        )

    def estimate(self, image: AverageImage) -> Estimate:
        """One request an image."""
        prompt = prompt_tokens(self.prompt) + (8 + image.crop_tokens) * image.regions
        return Estimate(1, prompt, 30 * image.regions + 10)
