"""Which model made what: by stage, for the manifest and for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from finehard.stages.prompts import Prompt
from finehard.stages.stage import Settings, Stage

_LAST = ("phrases", "detect")
"""They come after the others in every sample, as in the first ones: the order decides bytes."""


@dataclass(frozen=True)
class Provenance:
    """`stages` maps each stage to model, revision and fingerprint; `prompts` are those used."""

    stages: dict[str, Any]
    prompts: tuple[Prompt, ...]
    own: dict[str, Any] = field(default_factory=dict)
    """What the manifest says of a user's own pipeline: its stages' names, their reject reasons."""


def provenance(stages: Sequence[Stage], settings: Settings, bundled: bool = True) -> Provenance:
    """Returns the provenance of a build with `stages`, of the bundled pipeline or another."""
    entries = {stage.name: stage.provenance(settings) for stage in stages}
    names = [*(n for n in entries if n not in _LAST), *(n for n in _LAST if n in entries)]
    prompts = tuple(stage.prompt for stage in stages if stage.prompt is not None)
    reasons = {name: text for stage in stages for name, text in stage.reject_reasons.items()}
    own: dict[str, Any] = {} if bundled else {"pipeline": list(entries)}
    if reasons or not bundled:
        own["reject_reasons"] = reasons
    return Provenance({n: entries[n] for n in names if entries[n] is not None}, prompts, own)
