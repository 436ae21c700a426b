"""The hard negative stage: attribute swaps from a model or from the lexicon, checked by rules.

The model only names swaps (attribute, original, replacement), which are applied to the text here: a
negative then differs from its positive only in the swap, and a reply takes half the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from finehard.digest import digest
from finehard.negatives.lexicon import VERSION, swaps
from finehard.negatives.swap import Swap, pick
from finehard.records import Record, Region
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
    fill: bool = False
    """Add swaps from the lexicon where the model's make fewer than `per_region`."""
    balance: bool = False
    """Choose a region's negatives so that their words alone do not give them away. Up to `ask_for`
    valid ones are then verified. False: the first `per_region` are used."""
    balance_loss: Share = 0.15
    """Fraction of the negatives that balancing may drop."""
    max_tokens: Positive = 40
    """Per requested swap."""

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
        self.model = config.model
        self.prompt: Prompt = load_prompt(config.prompt, "negatives", ("count", "texts"))

    @classmethod
    def make(cls, config: NegativesConfig) -> Stage:
        """Returns the stage for `config.backend`."""
        return LexiconNegatives(config) if config.backend == "lexicon" else cls(config)

    def questions(self, record: Record) -> Sequence[Ask]:
        """Returns one question about the short expressions of all regions, without an image."""
        if not record.regions or not self.config.per_region:
            return ()
        texts = numbered([fence(region.short_expr, 200) for region in record.regions])
        ask = Ask(
            self.prompt.render(count=self.config.ask_for, texts=texts),
            (),
            reply_schema("negatives", len(record.regions)),
            64 + self.config.max_tokens * self.config.ask_for * len(record.regions),
        )
        return (ask,)

    def answer(self, record: Record, values: Sequence[Any]) -> Record:
        """Returns `record` with the valid swaps in the model's order; counts the refused ones."""
        [value] = values
        dropped: dict[str, list[str]] = {}
        regions = []
        most = self.config.candidates
        for number, region in enumerate(record.regions, 1):
            named = [Swap(**swap) for swap in value[str(number)]]
            kept, refused = pick(region.short_expr, named, most)
            for rule, examples in refused.items():
                dropped.setdefault(rule, []).extend(examples)
            if self.config.fill and len(kept) < most:
                kept, _ = pick(region.short_expr, swaps(region.short_expr), most, kept)
            regions.append(replace(region, hard_negatives=tuple(kept)))
        return replace(record, regions=tuple(regions)).dropping(self.name, dropped)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """Returns one text-only request per image."""
        if not self.config.per_region:
            return None
        reply_tokens = 24 * self.config.ask_for * image.regions + 10
        return Estimate(1, prompt_tokens(self.prompt) + 10 * image.regions, reply_tokens)


class LexiconNegatives(Negatives):
    """Short expressions -> texts with one attribute swapped, by the lexicon alone."""

    def __init__(self, config: NegativesConfig) -> None:
        super().__init__(config)
        self.model = None

    def apply(self, record: Record) -> Record:
        """Returns `record` with each region's hard negatives."""
        dropped: dict[str, list[str]] = {}
        regions = tuple(self._swap(region, dropped) for region in record.regions)
        return replace(record, regions=regions).dropping(self.name, dropped)

    def _swap(self, region: Region, dropped: dict[str, list[str]]) -> Region:
        text, most = region.short_expr, self.config.candidates
        negatives, refused = pick(text, swaps(text), most)
        for rule, examples in refused.items():
            dropped.setdefault(rule, []).extend(examples)
        return replace(region, hard_negatives=tuple(negatives))

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns the lexicon and its version."""
        fingerprint = digest(["lexicon", VERSION])
        return {"model": "lexicon", "revision": str(VERSION), "fingerprint": fingerprint}

    def estimate(self, image: AverageImage) -> None:
        """Returns None: no requests."""
