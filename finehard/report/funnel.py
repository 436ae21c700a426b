"""How a dataset's inputs fare from stage to stage, and what each stage cost, from the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finehard.rejects import REASONS
from finehard.report.expressions import Expressions

_STAGES = {
    "curate": "passed curate",
    "caption": "captioned",
    "verify_caption": "captions verified",
    "phrases": "phrases extracted",
    "detect": "searched for boxes",
    "regions": "regions described",
    "negatives": "negatives proposed",
    "verify": "verified",
}
"""The bundled stages in flow order, and the title of the step after each."""
_OPTIONAL = ("curate", "verify_caption")
"""Those of them that are only in builds whose config asks for them."""
_COUNTED_WITH = {
    "phrases": "caption",
    "negatives": "regions",
    "correct_texts": "verify",
    "correct_negatives": "correct_texts",
    "verify_corrected": "correct_negatives",
}
"""Stages that share a step with the stage before them."""
_UNTOLD = ("verify_caption.untold", "verify.untold", "verify_corrected.untold")
_CORRECTED = ("verify_corrected.text_corrected", "verify_corrected.negative_replaced")
NOT_LEFT_OUT = frozenset((*_UNTOLD, *_CORRECTED, "curate.no_value"))
"""Counted with what the rules left out, though nothing was left out for it."""
_CUT = "cut_"
"""How the names of rules begin that cut a piece from a text that stayed."""
_ENDS = ("source", "min_regions", "shards")
"""Names in rejects of what comes before and after the stages."""


class Loss(NamedTuple):
    """`number` things lost for `reason`; `meaning` explains it; `example` is the anchor of its
    examples in the report, empty if there are none."""

    reason: str
    number: int
    meaning: str = ""
    example: str = ""


@dataclass
class Step:
    """How many things are left after a stage, and the losses on the way there."""

    name: str
    left: int
    losses: list[Loss] = field(default_factory=list)


class Cost(NamedTuple):
    """The requests and tokens of a stage, over all runs of the build."""

    stage: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


def flow(manifest: dict[str, Any], more: Iterable[str] = ()) -> list[str]:
    """The build's stages in flow order.

    That is `pipeline` of the manifest, or else the bundled stages. Other stages that the manifest
    or `more` names follow in their own order.
    """
    made = manifest.get("stages", ())
    bundled = [stage for stage in _STAGES if stage in made or stage not in _OPTIONAL]
    order = [*manifest.get("pipeline", bundled), *made, *more]
    return [stage for stage in dict.fromkeys(order) if stage not in _ENDS]


def reasons(manifest: dict[str, Any]) -> dict[str, str]:
    """The meaning of each reject reason: finehard's own and those of the user's stages."""
    return {**manifest.get("reject_reasons", {}), **REASONS}


def images(manifest: dict[str, Any], by_stage: Counter[tuple[str, str]]) -> list[Step]:
    """Inputs left after each stage. `by_stage` counts rejects by (stage, reason)."""
    rejected: dict[str, Counter[str]] = {}
    for (stage, reason), number in by_stage.items():
        rejected.setdefault(stage, Counter())[reason] += number
    meanings = reasons(manifest)
    left = manifest["counts"]["read"]
    steps = [Step("inputs found", left)]
    for title, stages in _image_steps(manifest, rejected):
        lost = sum((rejected.get(stage, Counter()) for stage in stages), Counter[str]())
        left -= lost.total()
        losses = [
            Loss(reason, number, meanings.get(reason, ""), f"reject-{reason}")
            for reason, number in lost.most_common()
        ]
        steps.append(Step(title, left, losses))
    return steps


def _image_steps(manifest: dict[str, Any], rejected: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Titles of the steps in flow order, each with the stages whose rejects it counts."""
    steps = [("images read", ["source"])]
    for stage in flow(manifest, rejected):
        if stage == "verify" and verification(manifest) == "skip":
            continue
        if _COUNTED_WITH.get(stage) == steps[-1][1][-1]:
            steps[-1][1].append(stage)
        else:
            steps.append((_STAGES.get(stage, f"passed {stage}"), [stage]))
    return [*steps, ("written", ["min_regions", "shards"])]


def verification(manifest: dict[str, Any]) -> str:
    """The build's policy for texts that verification does not confirm: drop, correct, mark or
    skip."""
    return manifest["config"].get("verify", {}).get("policy", "skip")


def regions(manifest: dict[str, Any]) -> list[Step]:
    """Boxes of the samples that were written: proposed, selected, described, confirmed.

    The manifest counts the regions that were written and what each rule dropped; the other numbers
    are sums of these. Empty where none was sought.
    """
    dropped: dict[str, int] = manifest["dropped"]
    written = manifest["counts"]["regions"]
    if not written and "detect" not in manifest["stages"]:
        return []
    verified = verification(manifest)
    untrue = _texts_lost(dropped, verified)
    rules, unusable = _rules(dropped, "detect"), _unusable(dropped)
    described = written + untrue
    selected = described + sum(loss.number for loss in unusable)
    steps = [
        Step("boxes proposed by the detector", selected + sum(loss.number for loss in rules)),
        Step("boxes selected", selected, rules),
    ]
    if unusable:
        steps.append(Step("regions with a usable text", described, unusable))
    confirmed = "regions confirmed by verification"
    text = {"drop": confirmed, "correct": confirmed, "mark": "regions kept, verified marked"}
    meaning = "not confirmed by the model"
    anchor = "dropped-verify-text_untrue"
    if verified == "correct":
        meaning += ", and not corrected"
    losses = [Loss("text_untrue", untrue, meaning, anchor)] if untrue else []
    steps.append(Step(text.get(verified, "regions kept (verification skipped)"), written, losses))
    return steps


def _texts_lost(dropped: dict[str, int], policy: str) -> int:
    """Regions that were lost because a text is untrue."""
    if policy == "correct":
        uncorrected = sum(loss.number for loss in _rules(dropped, "correct_texts"))
        return uncorrected + dropped.get("verify_corrected.text_untrue", 0)
    return dropped.get("verify.text_untrue", 0) if policy == "drop" else 0


class Corrections(NamedTuple):
    """What became of the texts that were corrected: confirmed since, or left out."""

    texts: int
    texts_left_out: int
    negatives: int
    negatives_left_out: int


def corrections(manifest: dict[str, Any]) -> Corrections | None:
    """Counts the corrected regions and hard negatives; None where nothing was to be corrected."""
    if (policy := verification(manifest)) != "correct":
        return None
    dropped: dict[str, int] = manifest["dropped"]
    texts, negatives = (dropped.get(name, 0) for name in _CORRECTED)
    still_true = ("correct_negatives.none_found", "verify_corrected.negative_true")
    left_out = sum(dropped.get(name, 0) for name in still_true)
    return Corrections(texts, _texts_lost(dropped, policy), negatives, left_out)


def expressions(manifest: dict[str, Any], counted: Expressions) -> list[Step]:
    """Noun phrases of the long captions: extracted, given to the detector, with a box.

    Losses are the manifest's; the other numbers are extrapolated from the samples of `counted`.
    Empty if nothing was counted.
    """
    if not counted.samples:
        return []
    scale = manifest["counts"]["written"] / counted.samples
    asked = round(counted.asked * scale)
    losses = _rules(manifest["dropped"], "phrases")
    return [
        Step("noun phrases in long captions", asked + sum(loss.number for loss in losses)),
        Step("asked of the detector", asked, losses),
        Step("with a box in the end", round(counted.boxed * scale)),
    ]


def other_drops(
    manifest: dict[str, Any], without: tuple[str, ...] = ()
) -> list[tuple[str, list[Loss]]]:
    """Titles and losses of the stages whose rules dropped parts of samples, in flow order.

    Left out are lost boxes, which have steps of their own, and the stages `without`.
    """
    titles = {"caption": "cut from captions",
              "verify_caption": "statements of captions not confirmed",
              "phrases": "phrases left out",
              "regions": "cut from region texts", "negatives": "hard negatives refused by rules",
              "verify": "not confirmed by verification",
              "correct_texts": "region texts not corrected",
              "correct_negatives": "replacements of hard negatives refused",
              "verify_corrected": "corrections not confirmed"}  # fmt: skip
    lost = {f"regions.{loss.reason}" for loss in _unusable(manifest["dropped"])}
    others = {name: number for name, number in manifest["dropped"].items() if name not in lost}
    named = (name.split(".", 1)[0] for name in others)
    drops = [
        (titles.get(stage, f"left out at {stage}"), _rules(others, stage))
        for stage in flow(manifest, named)
        if stage not in ("detect", *without)
    ]
    return [(title, losses) for title, losses in drops if losses]


def untold(manifest: dict[str, Any]) -> int:
    """How many statements were verified by a server that reported no probability of the answer."""
    return sum(int(manifest["dropped"].get(name, 0)) for name in _UNTOLD)


def _unusable(dropped: dict[str, int]) -> list[Loss]:
    """Regions that were lost because their text was unusable."""
    return [
        loss._replace(meaning=REASONS.get(loss.reason, "the model gave no text for the region"))
        for loss in _rules(dropped, "regions")
        if not loss.reason.startswith(_CUT)
    ]


def _rules(dropped: dict[str, int], stage: str) -> list[Loss]:
    named = [(name.split(".", 1)[1], n) for name, n in dropped.items()
             if name.startswith(f"{stage}.") and name not in NOT_LEFT_OUT]  # fmt: skip
    return [
        Loss(rule, number, example=f"dropped-{stage}-{rule}")
        for rule, number in sorted(named, key=lambda rule: -rule[1])
    ]


def costs(manifest: dict[str, Any]) -> list[Cost]:
    """Requests and tokens of each stage that asked a model, in flow order."""
    usage = manifest["usage"]
    return [
        Cost(stage, str(manifest["stages"].get(stage, {}).get("model", "")), **usage[stage])
        for stage in flow(manifest, usage)
        if stage in usage
    ]
