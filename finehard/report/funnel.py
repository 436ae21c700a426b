"""The way of a dataset's inputs through the stages, and what each stage cost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finehard.io import storage
from finehard.rejects import REASONS
from finehard.report.expressions import Expressions

RUNS = "_runs"
"""Folder in the journal: what each run of a build that ended well took, a file per run."""
_IMAGE_STAGES = (
    ("images read", ("source",)),
    ("captioned", ("caption", "phrases")),
    ("searched for boxes", ("detect",)),
    ("regions described", ("regions", "negatives")),
    ("verified", ("verify",)),
    ("written", ("shards",)),
)


class Loss(NamedTuple):
    """`number` things lost for `reason`; `meaning` says it in words; `example` is the anchor of
    its examples in the report, empty where there are none."""

    reason: str
    number: int
    meaning: str = ""
    example: str = ""


@dataclass
class Step:
    """What was left after a stage, and what the stage lost on the way there."""

    name: str
    left: int
    losses: list[Loss] = field(default_factory=list)


class Cost(NamedTuple):
    """What a stage asked and was told, over all runs of the build."""

    stage: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


def images(manifest: dict[str, Any], by_stage: Counter[tuple[str, str]]) -> list[Step]:
    """Inputs that were left after each stage. `by_stage` counts rejects by (stage, reason).

    A stage of another name than the built-in ones counts to the last step.
    """
    known = {stage: place for place, (_, names) in enumerate(_IMAGE_STAGES) for stage in names}
    lost: list[Counter[str]] = [Counter() for _ in _IMAGE_STAGES]
    for (stage, reason), number in by_stage.items():
        lost[known.get(stage, len(lost) - 1)][reason] += number
    left = manifest["counts"]["read"]
    steps = [Step("inputs found", left)]
    for (title, _), reasons in zip(_IMAGE_STAGES, lost, strict=True):
        if title == "verified" and verification(manifest) == "skip":
            continue
        left -= reasons.total()
        losses = [
            Loss(reason, number, REASONS.get(reason, ""), f"reject-{reason}")
            for reason, number in reasons.most_common()
        ]
        steps.append(Step(title, left, losses))
    return steps


def verification(manifest: dict[str, Any]) -> str:
    """The config's policy for texts that are not confirmed: drop, mark or skip."""
    return manifest["config"].get("verify", {}).get("policy", "skip")


def regions(manifest: dict[str, Any]) -> list[Step]:
    """Boxes and regions of the samples that were written: proposed, selected, confirmed.

    The manifest has what was kept and what each rule dropped; the sums are made of these.
    """
    dropped: dict[str, int] = manifest["dropped"]
    kept = manifest["counts"]["regions"]
    verified = verification(manifest)
    untrue = dropped.get("verify.text_untrue", 0) if verified == "drop" else 0
    rules = _rules(dropped, "detect")
    proposed = kept + untrue + sum(loss.number for loss in rules)
    steps = [
        Step("boxes proposed by the detector", proposed),
        Step("boxes selected", kept + untrue, rules),
    ]
    text = {"drop": "regions confirmed by verification", "mark": "regions kept, verified marked"}
    meaning = "not confirmed by the model"
    anchor = "dropped-verify-text_untrue"
    losses = [Loss("text_untrue", untrue, meaning, anchor)] if untrue else []
    steps.append(Step(text.get(verified, "regions kept (verification skipped)"), kept, losses))
    return steps


def expressions(manifest: dict[str, Any], told: Expressions) -> list[Step]:
    """Noun phrases of the long captions: found, asked for, and with a box. What was left out is
    in the manifest; the others are `told`, scaled from its samples to all. Empty where nothing
    is told."""
    if not told.samples:
        return []
    scale = manifest["counts"]["written"] / told.samples
    asked = round(told.asked * scale)
    losses = _rules(manifest["dropped"], "phrases")
    return [
        Step("noun phrases in long captions", asked + sum(loss.number for loss in losses)),
        Step("asked of the detector", asked, losses),
        Step("with a box in the end", round(told.boxed * scale)),
    ]


def other_drops(
    manifest: dict[str, Any], without: tuple[str, ...] = ()
) -> list[tuple[str, list[Loss]]]:
    """What rules left out of phrases and hard negatives, of which the kept are not all counted."""
    titles = {"phrases": "phrases left out", "negatives": "hard negatives refused by rules",
              "verify": "told by verification"}  # fmt: skip
    found = [
        (title, _rules(manifest["dropped"], stage))
        for stage, title in titles.items()
        if stage not in without
    ]
    return [(title, losses) for title, losses in found if losses]


def _rules(dropped: dict[str, int], stage: str) -> list[Loss]:
    named = [(name.split(".", 1)[1], n) for name, n in dropped.items()
             if name.startswith(f"{stage}.")]  # fmt: skip
    return [
        Loss(rule, number, example=f"dropped-{stage}-{rule}")
        for rule, number in sorted(named, key=lambda rule: -rule[1])
    ]


def costs(manifest: dict[str, Any]) -> list[Cost]:
    """Requests and tokens of each stage that asked a model."""
    return [
        Cost(stage, str(manifest["stages"].get(stage, {}).get("model", "")), **spent)
        for stage, spent in manifest["usage"].items()
    ]


def runs(dataset: str) -> list[dict[str, Any]]:
    """What the runs of the build took, oldest first; empty where nothing was noted."""
    found = []
    for file in storage.glob(storage.join(dataset, "_journal", RUNS), ""):
        try:
            found.append(json.loads(storage.read_all(file.uri)))
        except (OSError, ValueError):
            continue
    return [run for run in found if isinstance(run, dict) and "seconds" in run]


def note_run(dataset: str, run: str, seconds: float, counts: dict[str, Any]) -> None:
    """Notes that `run` took `seconds`, and what its stages asked, for later reports."""
    text = json.dumps({"run": run, "seconds": round(seconds, 1), "stages": counts["stages"]})
    storage.write(storage.join(dataset, "_journal", RUNS, f"{run}.json"), text.encode())
