"""Verification: is each region text true of its cut-out, and each hard negative false?

By default one request for each region, with its cut-out alone: a small model that is shown several
mixes them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from finehard.records import Record, Region
from finehard.schemas import reply_schema
from finehard.settings.ranges import Positive, Share
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, prompt_tokens


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
    regions_per_request: Positive = 1
    """More save prompt tokens; only for models that keep several cut-outs apart."""
    max_tokens: Positive = 8
    """Per statement."""


_COMPACT = '{"1":"'


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
        """Asks for each region, with its cut-out, about its two texts and its negatives."""
        if self.config.policy == "skip":
            return ()
        return [self._ask(regions) for regions in self._requests(record)]

    def _requests(self, record: Record) -> list[Sequence[Region]]:
        most = min(self.config.regions_per_request, self.limits.regions or len(record.regions))
        starts = range(0, len(record.regions), max(1, most))
        return [record.regions[start : start + most] for start in starts]

    def _ask(self, regions: Sequence[Region]) -> Ask:
        lines: list[str] = []
        count = 0
        for number, region in enumerate(regions, 1):
            if len(regions) > 1:
                lines.append(f"Image {number}:")
            for text in _texts(region):
                count += 1
                lines.append(f"{count}. {fence(text, 300)}")
        return Ask(
            self.prompt.render(statements="\n".join(lines), count=count),
            tuple(region.box for region in regions),
            reply_schema("verify", count),
            32 + self.config.max_tokens * count,
            ("yes", "no"),
        )

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """`record` with `verified` set on regions and negatives, and the policy applied.

        Counted, though nothing is left out for it: statements without an answer ("unanswered"),
        and those whose answer came without a probability, so that it counts as certain ("untold").
        """
        answers = [
            answers
            for regions, value in zip(self._requests(record), values, strict=True)
            for answers in _by_region(regions, value)
        ]
        judged = [
            self._judged(region, value)
            for region, value in zip(record.regions, answers, strict=True)
        ]
        texts = [_texts(region) for region in record.regions]
        counted = {
            "text_untrue": [r.short_expr for r in judged if not r.verified],
            "negative_true": [n.text for r in judged for n in r.hard_negatives if not n.verified],
            "unanswered": _those(texts, answers, lambda true: true is None),
            "untold": _those(texts, answers, lambda true: type(true) is int),
        }
        if self.config.policy == "drop":
            judged = [
                replace(r, hard_negatives=tuple(n for n in r.hard_negatives if n.verified))
                for r in judged
                if r.verified
            ]
        return replace(record, regions=tuple(judged)).dropping(self.name, counted)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns a request for every `regions_per_request` regions."""
        if self.config.policy == "skip" or not image.regions:
            return None
        asked_together = min(self.config.regions_per_request, max(1.0, image.regions))
        requests = image.regions / asked_together
        statements = (2 + image.negatives) * asked_together
        crops = image.crop_tokens * asked_together
        compact = _COMPACT in self.prompt.text  # replies are written as the prompt's example
        reply = (4 if compact else 6) * statements + 2
        return Estimate(requests, prompt_tokens(self.prompt) + 11 * statements + crops, reply)

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


def _by_region(regions: Sequence[Region], value: Any) -> Iterator[dict[str, Any]]:
    """Yields the entries of each region, under numbers from 1."""
    before = 0
    for region in regions:
        count = len(_texts(region))
        numbers = range(before + 1, before + count + 1)
        yield {str(n - before): value[str(n)] for n in numbers if str(n) in value}
        before += count


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
