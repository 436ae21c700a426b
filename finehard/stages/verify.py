"""Verification: is each region text true of its cut-out, and each hard negative false?

One request for each region, with its cut-out alone: a model that is shown several mixes them up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from finehard.records import Record, Region
from finehard.schemas import reply_schema
from finehard.settings.ranges import Positive, Share
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, numbered, prompt_tokens


@dataclass(frozen=True)
class VerifyConfig:
    """How texts are verified. `model` is a name under `models`."""

    model: str = "lmm"
    prompt: str = "verify.v2"
    policy: Literal["drop", "mark", "skip"] = "drop"
    """What becomes of a text that is not confirmed: left out, or kept with verified = false. With
    "skip" nothing is asked, and verified is null."""
    text_true: Share = 0.5
    """A region's texts are confirmed when each is true with at least this probability."""
    negative_true: Share = 0.5
    """A negative is confirmed when it is true with less than this probability."""
    max_tokens: Positive = 8
    """Per statement."""


class Verify(Stage):
    """Is each region text true, and each hard negative false?"""

    name = "verify"
    version = 4
    config_type = VerifyConfig

    def __init__(self, config: VerifyConfig) -> None:
        self.config = config
        self.model = config.model
        self.prompt: Prompt = load_prompt(config.prompt, "verify", ("statements", "count"))

    def questions(self, record: Record) -> Sequence[Ask]:
        """For each region its cut-out, with its two texts and its negatives as statements."""
        if self.config.policy == "skip":
            return ()
        return [self._ask(region) for region in record.regions]

    def _ask(self, region: Region) -> Ask:
        statements = [fence(text, 300) for text in _texts(region)]
        count = len(statements)
        return Ask(
            self.prompt.render(statements=numbered(statements), count=count),
            (region.box,),
            reply_schema("verify", count),
            32 + self.config.max_tokens * count,
            ("yes", "no"),
        )

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """`record` with `verified` set on regions and negatives, and the policy applied.

        Counted, though nothing is left out for it: statements without an answer ("unanswered"),
        and those whose answer came without a probability, so that it counts as certain ("untold").
        """
        judged = [
            self._judged(region, value)
            for region, value in zip(record.regions, values, strict=True)
        ]
        texts = [_texts(region) for region in record.regions]
        counted = {
            "text_untrue": [r.short_expr for r in judged if not r.verified],
            "negative_true": [n.text for r in judged for n in r.hard_negatives if not n.verified],
            "unanswered": _those(texts, values, lambda true: true is None),
            "untold": _those(texts, values, lambda true: type(true) is int),
        }
        if self.config.policy == "drop":
            judged = [
                replace(r, hard_negatives=tuple(n for n in r.hard_negatives if n.verified))
                for r in judged
                if r.verified
            ]
        return replace(record, regions=tuple(judged)).dropping(self.name, counted)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """One request a region."""
        if self.config.policy == "skip":
            return None
        statements = 2 + image.negatives
        prompt = prompt_tokens(self.prompt) + 16 * statements + image.crop_tokens
        return Estimate(image.regions, prompt, 3 * statements + 10)

    def _judged(self, region: Region, value: dict[str, float]) -> Region:
        """`region` with `verified` set, by the probabilities that its statements are true.

        What has no answer is not confirmed.
        """
        true = [value.get(str(number)) for number, _ in enumerate(_texts(region), 1)]
        own = len(_own_texts(region))
        negatives = tuple(
            replace(negative, verified=p is not None and p < self.config.negative_true)
            for negative, p in zip(region.hard_negatives, true[own:], strict=True)
        )
        confirmed = all(p is not None and p >= self.config.text_true for p in true[:own])
        return replace(region, verified=confirmed, hard_negatives=negatives)


def _own_texts(region: Region) -> list[str]:
    return list(dict.fromkeys((region.short_expr, region.long_expr)))


def _texts(region: Region) -> list[str]:
    return [*_own_texts(region), *(negative.text for negative in region.hard_negatives)]


def _those(
    texts: list[list[str]], values: Sequence[Any], which: Callable[[float | None], bool]
) -> list[str]:
    """Returns the statements whose answers are such as `which` says."""
    return [
        text
        for statements, value in zip(texts, values, strict=True)
        for number, text in enumerate(statements, 1)
        if which(value.get(str(number)))
    ]
