"""Correction of hard negatives: those that verification found true are replaced, once.

A model is asked for other swaps and told which words are true of the image; what it leaves open
comes from the lexicon. A new negative must also exclude the one that it replaces: if "silver" was
true of the region, "gray" is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from finehard.digest import digest
from finehard.errors import UsageError
from finehard.negatives.attribute import compare
from finehard.negatives.hints import line
from finehard.negatives.lexicon import VERSION, swaps
from finehard.negatives.reply import REPLY_FORMS, named_swaps
from finehard.negatives.swap import Swap, normal, pick
from finehard.records import HardNegative, Record, Region
from finehard.schemas import reply_schema
from finehard.stages.prompts import Prompt, fence, load_prompt
from finehard.stages.stage import (
    Ask,
    AverageImage,
    Estimate,
    Settings,
    Stage,
    numbered,
    prompt_tokens,
)
from finehard.stages.verify import UNCONFIRMED, VerifyConfig

_SPARE = 2
"""Swaps requested beyond those to replace, since some fail the checks."""
_FORM = "negatives.lists"


class CorrectNegatives(Stage):
    """Hard negatives that are true -> others, which are not verified."""

    name = "correct_negatives"
    section = "verify"
    config_type = VerifyConfig

    def __init__(self, config: VerifyConfig) -> None:
        self.config = config
        self.model = config.correction.model
        prompt = config.correction.negatives_prompt
        self.prompt: Prompt = load_prompt(prompt, self.name, ("hinted_texts",))
        if self.prompt.reply != _FORM:
            raise UsageError(f"prompt {prompt}: reply is {self.prompt.reply!r}, must be {_FORM!r}")
        self._form = REPLY_FORMS[_FORM]

    @classmethod
    def make(cls, config: VerifyConfig) -> Stage | None:
        """Returns the stage for the backend; None where nothing is corrected."""
        if config.policy != "correct":
            return None
        lexicon = config.correction.backend == "lexicon"
        return LexiconCorrectNegatives(config) if lexicon else cls(config)

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns a question about the regions with a negative to replace, without an image: one,
        or as many as `limits` make necessary."""
        return [self._ask(regions) for regions in self._requests(record)]

    def _requests(self, record: Record) -> list[list[Region]]:
        regions = [region for region in record.regions if _to_replace(region)]
        most = self.limits.regions or len(regions) or 1
        return [regions[start : start + most] for start in range(0, len(regions), most)]

    def _ask(self, regions: Sequence[Region]) -> Ask:
        counts = [len(_to_replace(region)) + _SPARE for region in regions]
        lines = [_line(region, count) for region, count in zip(regions, counts, strict=True)]
        return Ask(
            self.prompt.render(hinted_texts=numbered(lines)),
            (),
            reply_schema(_FORM, len(regions)),
            64 + int(self._form.most_tokens_per_swap) * sum(counts),
        )

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """Returns `record` with new negatives in place of the true ones; without those for which
        there is no other ("none_found"). Counts the refused swaps by rule."""
        named: list[list[Swap]] = []
        dropped: dict[str, list[str]] = {"not_a_swap": []}
        for regions, value in zip(self._requests(record), values, strict=True):
            for number, region in enumerate(regions, 1):
                found, others = named_swaps(self._form, value, number)
                named.append(found)
                dropped["not_a_swap"] += [f"{region.short_expr}: {other}" for other in others]
        return self._replaced(record, named, dropped)

    def _replaced(
        self, record: Record, named: Iterable[list[Swap]], dropped: dict[str, list[str]]
    ) -> Record:
        found = iter(named)
        regions = tuple(
            _with_others(region, next(found), dropped) if _to_replace(region) else region
            for region in record.regions
        )
        return replace(record, regions=regions).dropping(self.name, dropped)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns one text-only request for an image with a negative to replace."""
        negatives = image.regions * image.negatives
        if not negatives:
            return None
        each = 1 - (1 - UNCONFIRMED) ** negatives
        wrong = UNCONFIRMED * negatives / each
        asked = min(image.regions, wrong)
        prompt = prompt_tokens(self.prompt) + 50 * asked
        return Estimate(each, prompt, self._form.tokens_per_swap * (wrong + _SPARE * asked) + 10)


class LexiconCorrectNegatives(CorrectNegatives):
    """Hard negatives that are true -> others, by the lexicon alone."""

    def __init__(self, config: VerifyConfig) -> None:
        super().__init__(config)
        self.model = self.prompt = None  # type: ignore[assignment]

    def apply(self, record: Record) -> Record:
        """Returns `record` with new negatives in place of the true ones."""
        nothing: Iterable[list[Swap]] = ([] for region in record.regions if _to_replace(region))
        return self._replaced(record, nothing, {})

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns the lexicon and its version."""
        fingerprint = digest(["lexicon", VERSION])
        return {"model": "lexicon", "revision": str(VERSION), "fingerprint": fingerprint}

    def estimate(self, image: AverageImage) -> None:
        """Returns None: no requests."""


def _to_replace(region: Region) -> list[HardNegative]:
    return [negative for negative in region.hard_negatives if not negative.verified]


def _line(region: Region, count: int) -> str:
    """Returns a region's text for the prompt: "a gray mug | gray (color): 3 | true: silver"."""
    parts = [line(fence(region.short_expr, 200), count)]
    if region.verified:  # else the negatives are those of another text
        for label, confirmed in (("true", False), ("taken", True)):
            given = (n for n in region.hard_negatives if n.text)  # the others are missing ones
            words = [n.replacement for n in given if bool(n.verified) == confirmed]
            if words:
                parts.append(f"{label}: {fence(', '.join(dict.fromkeys(words)), 200)}")
    return " | ".join(parts)


def _with_others(region: Region, named: Sequence[Swap], dropped: dict[str, list[str]]) -> Region:
    """Returns `region` with valid swaps, those in `named` before the lexicon's, in place of the
    negatives that are not confirmed."""
    text, tried = region.short_expr, _to_replace(region)
    known = list(region.hard_negatives) if region.verified else []
    most = len(known) + len(tried)
    allowed = []
    for swap in named:
        if region.verified and _may_be_true(swap, tried):
            refused = f"{text}: {swap.original} -> {swap.replacement}"
            dropped.setdefault("near_what_is_true", []).append(refused)
        else:
            allowed.append(swap)
    picked, broken = pick(text, allowed, most, known)
    for rule, refused_swaps in broken.items():
        dropped.setdefault(rule, []).extend(refused_swaps)
    if len(picked) < most:
        others = (s for s in swaps(text) if not (region.verified and _may_be_true(s, tried)))
        picked, _ = pick(text, others, most, picked)
    new = iter(picked[len(known) :])
    negatives = [n if n.verified else next(new, None) for n in region.hard_negatives]
    missing = negatives.count(None)
    if missing:
        dropped.setdefault("none_found", []).extend([n.text for n in tried][-missing:])
    return replace(region, hard_negatives=tuple(n for n in negatives if n is not None))


def _may_be_true(swap: Swap, tried: Sequence[HardNegative]) -> bool:
    """Whether what a swap puts in does not exclude what was true in the same place."""
    original, new = normal(swap.original), normal(swap.replacement)
    return any(
        compare(normal(negative.replacement), new).rule
        for negative in tried
        if normal(negative.original) == original
    )
