"""Correction of region texts: those that verification found untrue are written anew, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finehard.records import Record, Region
from finehard.schemas import reply_schema
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, numbered, prompt_tokens
from finehard.stages.usable import why_again
from finehard.stages.verify import UNCONFIRMED, VerifyConfig
from finehard.texts.judge import Judge


class CorrectTexts(Stage):
    """Region texts that are untrue -> new ones, which are not verified."""

    name = "correct_texts"
    section = "verify"
    config_type = VerifyConfig

    def __init__(self, config: VerifyConfig) -> None:
        self.config = config
        self.model = config.model
        prompt = config.correction.texts_prompt
        self.prompt: Prompt = load_prompt(prompt, self.name, ("texts", "count"))
        self._judge = Judge(self.prompt.text)

    @classmethod
    def make(cls, config: VerifyConfig) -> Stage | None:
        """Returns the stage; None where nothing is corrected."""
        return cls(config) if config.policy == "correct" else None

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns the regions with an untrue text and their cut-outs: one question, or as many as
        `limits` make necessary."""
        return [self._ask(regions) for regions in self._requests(record)]

    def _requests(self, record: Record) -> list[list[Region]]:
        untrue = [region for region in record.regions if not region.verified]
        most = self.limits.regions or len(untrue) or 1
        return [untrue[start : start + most] for start in range(0, len(untrue), most)]

    def _ask(self, regions: Sequence[Region]) -> Ask:
        texts = [f"{fence(r.short_expr, 200)} | {fence(r.long_expr, 300)}" for r in regions]
        return Ask(
            self.prompt.render(texts=numbered(texts), count=len(regions)),
            tuple(region.box for region in regions),
            reply_schema("correct_texts", len(regions)),
            32 + self.config.correction.max_tokens * len(regions),
            judge=self._why_again,
        )

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """Returns `record` with the new texts, whose `verified` is None and whose hard negatives,
        which belong to the old ones, are not confirmed; without the regions that got none."""
        replies = iter(
            [
                value.get(str(number))
                for regions, value in zip(self._requests(record), values, strict=True)
                for number, _ in enumerate(regions, 1)
            ]
        )
        left_out: dict[str, list[str]] = {}
        corrected = (
            region if region.verified else self._corrected(region, next(replies), left_out)
            for region in record.regions
        )
        regions = tuple(region for region in corrected if region is not None)
        return replace(record, regions=regions).dropping(self.name, left_out)

    def _corrected(
        self, region: Region, reply: Any, left_out: dict[str, list[str]]
    ) -> Region | None:
        texts = [self._judge(reply[name]) for name in ("name", "caption")] if reply else []
        short, long = [text.text.rstrip(". ") for text in texts] or ("", "")
        fault = next((text.fault for text in texts if text.fault), None)
        if not texts:
            fault = "missing_text"
        elif not fault and (short, long) == (region.short_expr, region.long_expr):
            fault = "unchanged"
        if fault:
            left_out.setdefault(fault, []).append(f"{region.short_expr}: {short}")
            return None
        negatives = tuple(replace(n, verified=False) for n in region.hard_negatives)
        return replace(
            region, short_expr=short, long_expr=long, hard_negatives=negatives, verified=None
        )

    def _why_again(self, value: Any) -> str | None:
        return why_again(
            {
                f"{name} {number}": self._judge(text)
                for number, texts in value.items()
                for name, text in texts.items()
            }
        )

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns one request for the untrue regions of an image that has any."""
        if not image.regions:
            return None
        each = 1 - (1 - 2 * UNCONFIRMED) ** image.regions
        regions = 2 * UNCONFIRMED * image.regions / each
        prompt = prompt_tokens(self.prompt) + (40 + image.crop_tokens) * regions
        return Estimate(each, prompt, 45 * regions + 10)
