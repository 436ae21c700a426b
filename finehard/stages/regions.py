"""A caption for each box: all boxes of an image in one request, as cut-outs with context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from finehard.records import Record, Region
from finehard.schemas import reply_schema
from finehard.settings.ranges import Positive
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, numbered, prompt_tokens
from finehard.stages.usable import cut_pieces, why_again
from finehard.texts.judge import Judge, Judged

_MISSING = Judged("(no text)", fault="missing_text")
"""Of a region that the model gave no valid text for, among others that it did."""


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
        self._judge = Judge(self.prompt.text)

    def questions(self, record: Record) -> Sequence[Ask]:
        """Cut-outs of the regions, and the phrases they were found by: all in one request, or as
        many as `limits` allow in each."""
        return [self._ask(regions) for regions in self._requests(record)]

    def _requests(self, record: Record) -> list[tuple[Region, ...]]:
        regions = record.regions
        most = self.limits.regions or len(regions) or 1
        return [regions[start : start + most] for start in range(0, len(regions), most)]

    def _ask(self, regions: Sequence[Region]) -> Ask:
        phrases = numbered([fence(region.phrase, 100) for region in regions])
        return Ask(
            self.prompt.render(count=len(regions), phrases=phrases),
            tuple(region.box for region in regions),
            reply_schema("regions", len(regions)),
            32 + self.config.max_tokens * len(regions),
            judge=self._why_again,
        )

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """`record` with each region's `long_expr`; without those that got no usable text."""
        regions: list[Region] = []
        usable: list[Judged] = []
        left_out: dict[str, list[str]] = {}
        for asked, value in zip(self._requests(record), values, strict=True):
            for number, region in enumerate(asked, 1):
                reply = value.get(str(number))
                text = _MISSING if reply is None else self._judge(reply)
                if text.fault:
                    left_out.setdefault(text.fault, []).append(f"{region.phrase}: {text.text}")
                else:
                    usable.append(text)
                    regions.append(replace(region, long_expr=text.text.rstrip(". ")))
        made = replace(record, regions=tuple(regions))
        return made.dropping(self.name, left_out | cut_pieces(usable))

    def _why_again(self, value: Any) -> str | None:
        return why_again({f"caption {n}": self._judge(text) for n, text in value.items()})

    def estimate(self, image: AverageImage) -> Estimate:
        """One request an image, or more where `limits` split it."""
        requests = max(1.0, image.regions / (self.limits.regions or max(1.0, image.regions)))
        each = image.regions / requests
        prompt = prompt_tokens(self.prompt) + (8 + image.crop_tokens) * each
        return Estimate(requests, prompt, 30 * each + 10)
