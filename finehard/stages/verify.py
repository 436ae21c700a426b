"""Verification: is each region text true of its cut-out, and each hard negative false?

By default one request for each region, with its cut-out alone: a small model that is shown several
mixes them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from finehard.records import Record, Region
from finehard.schemas import reply_schema
from finehard.settings.ranges import Positive, Share
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import Ask, AverageImage, Estimate, Stage, prompt_tokens


@dataclass(frozen=True)
class CorrectionConfig:
    """How texts that verification does not confirm are corrected, with policy "correct"."""

    texts_prompt: str = "correct_texts.v1"
    """Asks `verify.model` for a region's texts anew."""
    max_tokens: Positive = 128
    """Per region with new texts."""
    backend: Literal["llm", "lexicon"] = "llm"
    """What replaces hard negatives: a model, and the lexicon where that leaves some open; or the
    lexicon alone."""
    model: str = "llm"
    """The model that replaces hard negatives, a name under `models`."""
    negatives_prompt: str = "correct_negatives.v1"


@dataclass(frozen=True)
class VerifyConfig:
    """How texts are verified. `model` is a name under `models`."""

    model: str = "lmm"
    prompt: str = "verify.v2"
    policy: Literal["drop", "correct", "mark", "skip"] = "drop"
    """What becomes of a text that is not confirmed: left out; corrected once, verified again, and
    only then left out; or kept with verified = false. With "skip" nothing is asked, and verified is
    null."""
    text_true: Share = 0.5
    """A region's texts are confirmed when each is true with at least this probability."""
    negative_true: Share = 0.5
    """A negative is confirmed when it is true with less than this probability."""
    captions: Literal["skip", "drop", "mark"] = "skip"
    """What becomes of a statement of the captions that is not confirmed: cut out of the long
    caption; or kept, and what was said of each stands in `extra.verify_caption`. With "skip"
    nothing is asked about captions."""
    captions_prompt: str = "verify_caption.v1"
    caption_true: Share = 0.5
    """A statement of a caption is confirmed when it is true with at least this probability."""
    regions_per_request: Positive = 1
    """More save prompt tokens; only for models that keep several cut-outs apart."""
    max_tokens: Positive = 8
    """Per statement."""
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)


UNCONFIRMED = 0.05
"""The fraction of texts that `finehard plan` assumes verification not to confirm. It was 0.03 of a
1.5B model's negatives that pass the rules, and 0.01 to 0.02 of the demo's region texts."""
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
        if config.policy == "correct":
            self.needs = ("correct_texts", "correct_negatives", "verify_corrected")
        if config.captions != "skip":
            self.needs = (*self.needs, "verify_caption")

    def questions(self, record: Record) -> Sequence[Ask]:
        """Asks for each region, with its cut-out, about its two texts and its negatives: those that
        are not confirmed yet."""
        if self.config.policy == "skip":
            return ()
        return [self._ask(regions) for regions in self._requests(record)]

    def _requests(self, record: Record) -> list[Sequence[Region]]:
        regions = [region for region in record.regions if _texts(region)]
        most = min(self.config.regions_per_request, self.limits.regions or len(regions))
        starts = range(0, len(regions), max(1, most))
        return [regions[start : start + most] for start in starts]

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
        by_region = [
            answers
            for regions, value in zip(self._requests(record), values, strict=True)
            for answers in _by_region(regions, value)
        ]
        answers = iter(by_region)
        answered = [(r, next(answers) if _texts(r) else {}) for r in record.regions]
        judged = [self._judged(region, value) for region, value in answered]
        counted = {
            "text_untrue": [r.short_expr for r in judged if not r.verified],
            "negative_true": [n.text for r in judged for n in r.hard_negatives if not n.verified],
            "unanswered": _those(answered, lambda true: true is None),
            "untold": _those(answered, lambda true: type(true) is int),
        }
        made = replace(record, regions=tuple(judged))
        if self.config.policy == "drop":
            made = confirmed(made)
        return made.dropping(self.name, counted)

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
        negatives = iter(true[own:])
        judged = tuple(
            n if n.verified else replace(n, verified=self._is_false(next(negatives)))
            for n in region.hard_negatives
        )
        confirmed = all(p is not None and p >= self.config.text_true for p in true[:own])
        return replace(region, verified=confirmed, hard_negatives=judged)

    def _is_false(self, true: float | None) -> bool:
        return true is not None and true < self.config.negative_true


def confirmed(record: Record) -> Record:
    """Returns `record` with its confirmed regions and their confirmed negatives only."""
    regions = (
        replace(r, hard_negatives=tuple(n for n in r.hard_negatives if n.verified))
        for r in record.regions
        if r.verified
    )
    return replace(record, regions=tuple(regions))


def _by_region(regions: Sequence[Region], value: Any) -> Iterator[dict[str, Any]]:
    """Yields the entries of each region, under numbers from 1."""
    before = 0
    for region in regions:
        count = len(_texts(region))
        numbers = range(before + 1, before + count + 1)
        yield {str(n - before): value[str(n)] for n in numbers if str(n) in value}
        before += count


def _own_texts(region: Region) -> list[str]:
    """Returns a region's two texts; none where they are confirmed."""
    return [] if region.verified else list(dict.fromkeys((region.short_expr, region.long_expr)))


def _texts(region: Region) -> list[str]:
    """Returns the texts of a region that are not confirmed."""
    return [*_own_texts(region), *(n.text for n in region.hard_negatives if not n.verified)]


def _those(
    answered: Sequence[tuple[Region, dict[str, Any]]], which: Callable[[float | None], bool]
) -> list[str]:
    """Returns the statements whose answers are such as `which` says."""
    return [
        text
        for region, value in answered
        for number, text in enumerate(_texts(region), 1)
        if which(value.get(str(number)))
    ]
