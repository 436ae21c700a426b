"""The hard negative stage: attribute swaps from a model or from the lexicon, checked by rules.

The model only names swaps, which are applied to the text here: a negative then differs from its
positive only in the swap, and a reply takes a fraction of the tokens. The prompt decides which form
the reply has (`finehard.negatives.reply`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from finehard.digest import digest
from finehard.errors import UsageError
from finehard.negatives.hints import line
from finehard.negatives.lexicon import VERSION, likely_swaps, swaps
from finehard.negatives.other_kinds import additions, relations
from finehard.negatives.reply import REPLY_FORMS, named_swaps
from finehard.negatives.swap import Swap, normal, pick
from finehard.records import HardNegative, Record, Region
from finehard.schemas import reply_schema
from finehard.settings.ranges import Count, Positive, Share
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


@dataclass(frozen=True)
class NegativesConfig:
    """Settings of the negatives stage. `model` is a name under `models`."""

    backend: Literal["llm", "lexicon"] = "llm"
    """"lexicon" swaps attribute words without a model."""
    model: str = "llm"
    prompt: str = "negatives.v1"
    per_region: Count = 10
    """Maximum per region (FG-CLIP: 10); a region may have fewer valid ones."""
    ask_for: Positive = 12
    """Swaps requested per region: more than `per_region`, since some fail the checks."""
    kinds: tuple[Literal["attributes", "additions", "relations"], ...] = ("attributes",)
    """"additions" adds texts with a false detail, "relations" texts with a relation turned round,
    both by rule and in place of attribute swaps; see docs/hard-negatives.md."""
    fill: bool = False
    """Add swaps from the lexicon where the model's make fewer than `per_region`."""
    left_to_lexicon: Count = 0
    """Negatives per region that the model is not asked for where `fill` can add them."""
    balance: bool = False
    """Choose a region's negatives so that their words alone do not give them away. Up to `ask_for`
    valid ones are then verified. False: the first `per_region` are used."""
    balance_loss: Share = 0.15
    """Fraction of the negatives that balancing may drop."""
    max_tokens: Positive = 40
    """Per requested swap; the compact reply of negatives.v2 is allowed 12 at most."""

    @property
    def candidates(self) -> int:
        """The maximum number of negatives per region to verify."""
        wanted = self.per_region
        return max(wanted, self.ask_for) if self.balance and wanted else wanted


class Negatives(Stage):
    """Short expressions -> texts with one attribute swapped, by a model."""

    name = "negatives"
    version = 2
    config_type = NegativesConfig

    def __init__(self, config: NegativesConfig) -> None:
        self.config = config
        if "attributes" not in config.kinds:
            raise UsageError("negatives.kinds must name attributes: others are only added to them")
        self.model = config.model
        fields = ("count", "texts", "hinted_texts")
        self.prompt: Prompt = load_prompt(config.prompt, "negatives", fields)
        if self.prompt.reply not in REPLY_FORMS:
            raise UsageError(
                f"prompt {config.prompt}: unknown reply {self.prompt.reply!r}; negatives knows "
                + ", ".join(REPLY_FORMS)
            )
        self._form = REPLY_FORMS[self.prompt.reply]
        if config.left_to_lexicon and not config.fill:
            raise UsageError("negatives.left_to_lexicon needs negatives.fill: true")

    @classmethod
    def make(cls, config: NegativesConfig) -> Stage:
        """Returns the stage for `config.backend`."""
        return LexiconNegatives(config) if config.backend == "lexicon" else cls(config)

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns questions about the short expressions of all regions, without an image: one, or
        as many as `limits` makes necessary."""
        return [self._ask(regions) for regions in self._requests(record)]

    def _requests(self, record: Record) -> list[Sequence[Region]]:
        if not self.config.per_region:
            return []
        regions = record.regions
        most = self.limits.regions or max(1, len(regions))
        return [regions[start : start + most] for start in range(0, len(regions), most)]

    def _ask(self, regions: Sequence[Region]) -> Ask:
        texts = [fence(region.short_expr, 200) for region in regions]
        counts = [self._to_ask_for(region.short_expr) for region in regions]
        most_tokens = int(min(self.config.max_tokens, self._form.most_tokens_per_swap))
        return Ask(
            self.prompt.render(
                count=max(counts),
                texts=numbered(texts),
                hinted_texts=numbered([line(t, n) for t, n in zip(texts, counts, strict=True)]),
            ),
            (),
            reply_schema(self.prompt.reply, len(regions)),
            64 + most_tokens * sum(counts),
        )

    def _to_ask_for(self, text: str) -> int:
        """Returns the number of swaps to request: fewer where the lexicon will add some."""
        asked, wanted = self.config.ask_for, self.config.per_region
        if not self.config.left_to_lexicon:
            return asked
        added, _ = pick(text, swaps(text), min(self.config.left_to_lexicon, wanted))
        return max(1, math.ceil(asked * (wanted - len(added)) / wanted))

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """Returns `record` with the valid swaps in the model's order; counts the refused ones."""
        dropped: dict[str, list[str]] = {}
        regions = [
            self._with_others(record, self._swapped(region, value, number, dropped))
            for asked, value in zip(self._requests(record), values, strict=True)
            for number, region in enumerate(asked, 1)
        ]
        return replace(record, regions=tuple(regions)).dropping(self.name, dropped)

    def _swapped(
        self, region: Region, reply: Any, number: int, dropped: dict[str, list[str]]
    ) -> Region:
        text, most = region.short_expr, self.config.candidates
        named, others = named_swaps(self._form, reply, number)
        negatives, refused = pick(text, named, most)
        refused["not_a_swap"] = [f"{text}: {other}" for other in others]
        for rule, examples in refused.items():
            dropped.setdefault(rule, []).extend(examples)
        if self.config.fill and len(negatives) < most:
            negatives, _ = pick(text, self._of_lexicon(text), most, negatives)
        return replace(region, hard_negatives=tuple(negatives))

    def _with_others(self, record: Record, region: Region) -> Region:
        """Returns `region` with negatives of the other kinds, the last swaps making room."""
        text, most = region.short_expr, self.config.candidates
        others: list[HardNegative] = []
        if "additions" in self.config.kinds:
            others += additions(record, text)
        if "relations" in self.config.kinds:
            others += relations(text)
        if not others or not most:
            return region
        taken = {normal(negative.text) for negative in others}
        swapped = [n for n in region.hard_negatives if normal(n.text) not in taken]
        negatives = [*swapped[: max(0, most - len(others))], *others][:most]
        return replace(region, hard_negatives=tuple(negatives))

    def _of_lexicon(self, text: str) -> list[Swap]:
        """Returns the lexicon's swaps of `text`; for the balance, the likely ones first."""
        return likely_swaps(text) if self.config.balance else swaps(text)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns one text-only request per image."""
        if not self.config.per_region:
            return None
        reply_tokens = self._form.tokens_per_swap * self.config.ask_for * image.regions + 10
        line_tokens = 30 if "{hinted_texts}" in self.prompt.text else 12
        prompt = prompt_tokens(self.prompt) + line_tokens * image.regions
        return Estimate(1, prompt, reply_tokens)


class LexiconNegatives(Negatives):
    """Short expressions -> texts with one attribute swapped, by the lexicon alone."""

    def __init__(self, config: NegativesConfig) -> None:
        super().__init__(config)
        self.model = None

    def apply(self, record: Record) -> Record:
        """Returns `record` with each region's hard negatives."""
        dropped: dict[str, list[str]] = {}
        regions = tuple(
            self._with_others(record, self._swap(region, dropped)) for region in record.regions
        )
        return replace(record, regions=regions).dropping(self.name, dropped)

    def _swap(self, region: Region, dropped: dict[str, list[str]]) -> Region:
        text, most = region.short_expr, self.config.candidates
        negatives, refused = pick(text, self._of_lexicon(text), most)
        for rule, examples in refused.items():
            dropped.setdefault(rule, []).extend(examples)
        return replace(region, hard_negatives=tuple(negatives))

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns the lexicon and its version."""
        fingerprint = digest(["lexicon", VERSION])
        return {"model": "lexicon", "revision": str(VERSION), "fingerprint": fingerprint}

    def estimate(self, image: AverageImage) -> None:
        """Returns None: no requests."""
