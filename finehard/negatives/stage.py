"""The hard negative stage: attribute swaps from a model or from the lexicon, checked by rules.

The model only names swaps (attribute, original, replacement); the text is made here by putting the
replacement in the original's position. So a negative differs from its positive in one position by
construction, and a reply has half the tokens.
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
    """How hard negatives are made. `model` is a name under `models`."""

    backend: Literal["llm", "lexicon"] = "llm"
    """"lexicon" swaps attribute words without a model."""
    model: str = "llm"
    prompt: str = "negatives.v1"
    per_region: Count = 10
    """Negatives kept per region at most (FG-CLIP: 10). Fewer valid ones are written as fewer."""
    ask_for: Positive = 12
    """Swaps asked for per region: more than are kept, since some fail the checks."""
    fill: bool = False
    """Where the model's swaps make fewer than `per_region`, the lexicon's are taken after them."""
    balance: bool = False
    """Choose a region's negatives so that no word tells them from truths; all that pass the
    checks, up to `ask_for`, then go through verification. False: the first `per_region`."""
    balance_loss: Share = 0.15
    """Share of the negatives that may be dropped to balance."""
    max_tokens: Positive = 40
    """Per swap asked for."""

    @property
    def candidates(self) -> int:
        """Negatives per region that are verified at most."""
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
        """The short expressions of all regions; no image."""
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
        """`record` with the swaps that pass the checks, in the model's order; the rest counted."""
        [value] = values
        dropped: dict[str, list[str]] = {}
        regions = []
        most = self.config.candidates
        for number, region in enumerate(record.regions, 1):
            named = [Swap(**said) for said in value[str(number)]]
            kept, broken = pick(region.short_expr, named, most)
            for rule, told in broken.items():
                dropped.setdefault(rule, []).extend(told)
            if self.config.fill and len(kept) < most:
                kept, _ = pick(region.short_expr, swaps(region.short_expr), most, kept)
            regions.append(replace(region, hard_negatives=tuple(kept)))
        return replace(record, regions=tuple(regions)).dropping(self.name, dropped)

    def estimate(self, image: AverageImage) -> Estimate | None:
        """One request an image, without the image."""
        if not self.config.per_region:
            return None
        said = 24 * self.config.ask_for * image.regions + 10
        return Estimate(1, prompt_tokens(self.prompt) + 10 * image.regions, said)


class LexiconNegatives(Negatives):
    """Short expressions -> texts with one attribute swapped, by the lexicon alone."""

    def __init__(self, config: NegativesConfig) -> None:
        super().__init__(config)
        self.model = None

    def apply(self, record: Record) -> Record:
        """Returns `record` with each region's hard negatives."""
        dropped: dict[str, list[str]] = {}
        regions = tuple(self._swapped(region, dropped) for region in record.regions)
        return replace(record, regions=regions).dropping(self.name, dropped)

    def _swapped(self, region: Region, dropped: dict[str, list[str]]) -> Region:
        text, most = region.short_expr, self.config.candidates
        negatives, broken = pick(text, swaps(text), most)
        for rule, examples in broken.items():
            dropped.setdefault(rule, []).extend(examples)
        return replace(region, hard_negatives=tuple(negatives))

    def provenance(self, settings: Settings) -> dict[str, Any]:
        """Returns the lexicon and its version."""
        fingerprint = digest(["lexicon", VERSION])
        return {"model": "lexicon", "revision": str(VERSION), "fingerprint": fingerprint}

    def estimate(self, image: AverageImage) -> None:
        """Asks nothing."""
