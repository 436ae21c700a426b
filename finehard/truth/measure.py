"""Measures a dataset's captions, boxes, texts and hard negatives against known objects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from finehard.boxes import iou
from finehard.truth import TrueObject, Truth
from finehard.truth.mention import Mention, mentions

Phrases = Callable[[str], Iterable[str]]
"""Extracts a caption's noun phrases, as the build does."""


class Scores:
    """Counts of correct items and of all, by figure."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.all: Counter[str] = Counter()

    def add(self, name: str, right: float, of: int = 1) -> None:
        """Adds `of` items, `right` of which are correct."""
        self.right[name] += right  # type: ignore[assignment]
        self.all[name] += of

    def figures(self) -> dict[str, float | None]:
        """The ratio of each figure; None if nothing was counted."""
        return {n: self.right[n] / self.all[n] if self.all[n] else None for n in NAMES}


NAMES = (
    "caption_precision", "caption_recall", "hallucinated_per_caption", "phrase_recall",
    "region_recall_50", "region_precision_50", "region_recall_75", "region_precision_75",
    "held_out_region_recall_50", "region_text_correct", "negatives_valid",
    "verification_accuracy",
)  # fmt: skip


def measure(samples: Iterable[dict[str, Any]], truth: Truth, phrases: Phrases) -> dict[str, Any]:
    """Figures over the samples (schemas/sample.schema.json) whose images the truth file has.

    Returns {"figures": {name: ratio or None}, "counted": {name: number of items}, "samples": N,
    "without_truth": N, "missing": N}. Images of the truth file that are not in the dataset count
    as missed in the recalls of boxes and captions, so that dropping hard images does not help.
    """
    scores = Scores()
    measured, unknown, matched = 0, 0, set()
    for sample in samples:
        objects = truth.of(sample)
        if objects is None:
            unknown += 1
            continue
        measured += 1
        matched.add(id(objects))
        _caption(sample, objects, truth, scores)
        _phrases(sample, objects, truth, phrases, scores)
        overlaps = _overlaps(sample["regions"], objects)
        for name, threshold in (("50", 0.5), ("75", 0.75)):
            _boxes(sample["regions"], overlaps, objects, truth, name, threshold, scores)
        for region, overlap in zip(sample["regions"], overlaps, strict=True):
            _texts(region, overlap, objects, truth, scores)
    missing = [o for o in truth.by_key.values() if id(o) not in matched]
    for objects in missing:
        scores.add("caption_recall", 0, sum(1 + len(o.attributes) for o in objects))
        scores.add("phrase_recall", 0, len(objects))
        for name in ("region_recall_50", "region_recall_75"):
            scores.add(name, 0, len(objects))
        scores.add("held_out_region_recall_50", 0, sum(o.held_out for o in objects))
    return {
        "figures": scores.figures(),
        "counted": {name: scores.all[name] for name in NAMES},
        "samples": measured,
        "without_truth": unknown,
        "missing": len(missing),
    }


def _agreement(mention: Mention, thing: TrueObject) -> int:
    return sum(thing.attributes.get(n) == w for n, w in mention.attributes.items())


def _pairs(
    named: list[Mention], objects: tuple[TrueObject, ...]
) -> list[tuple[Mention, TrueObject | None]]:
    """Each mention with its object: of the same kind, with most attributes in common, and not
    assigned twice."""
    order = sorted(
        (
            (-_agreement(m, o), i, j)
            for i, m in enumerate(named)
            for j, o in enumerate(objects)
            if m.kind == o.kind
        )
    )
    assigned: dict[int, int] = {}
    for _, i, j in order:
        if i not in assigned and j not in assigned.values():
            assigned[i] = j
    return [(m, objects[assigned[i]] if i in assigned else None) for i, m in enumerate(named)]


def _caption(
    sample: dict[str, Any], objects: tuple[TrueObject, ...], truth: Truth, scores: Scores
) -> None:
    named = mentions(sample["long_caption"], truth.kinds, truth.attributes)
    right = 0
    for mention, thing in _pairs(named, objects):
        if thing is not None:
            right += 1 + _agreement(mention, thing)
        scores.add("hallucinated_per_caption", thing is None, 0)
    scores.add("hallucinated_per_caption", 0)
    scores.add("caption_precision", right, sum(1 + len(m.attributes) for m in named))
    scores.add("caption_recall", right, sum(1 + len(o.attributes) for o in objects))


def _phrases(
    sample: dict[str, Any],
    objects: tuple[TrueObject, ...],
    truth: Truth,
    phrases: Phrases,
    scores: Scores,
) -> None:
    named = [
        mention
        for phrase in phrases(sample["long_caption"])
        for mention in mentions(phrase, truth.kinds, truth.attributes)[-1:]
    ]
    true = [m for m in named if any(_true(m, o) for o in objects)]
    hit = {id(o) for _, o in _pairs(true, objects) if o is not None}
    scores.add("phrase_recall", len(hit), len(objects))


def _true(mention: Mention, thing: TrueObject) -> bool:
    """Whether kind and all attributes of the mention are those of the object."""
    return mention.kind == thing.kind and _agreement(mention, thing) == len(mention.attributes)


def _overlaps(regions: list[dict[str, Any]], objects: tuple[TrueObject, ...]) -> list[list[float]]:
    """The IoU of each region's box with each object's."""
    boxes = np.array([region["box"] for region in regions]).reshape(-1, 1, 4)
    return iou(boxes, np.array([thing.box for thing in objects]).reshape(-1, 4)).tolist()


def _boxes(
    regions: list[dict[str, Any]],
    overlaps: list[list[float]],
    objects: tuple[TrueObject, ...],
    truth: Truth,
    name: str,
    threshold: float,
    scores: Scores,
) -> None:
    """A region is correct if its box is that of an object of the kind that its text names; each
    object counts for one region, in the order of their scores."""
    matched: set[int] = set()
    for i in sorted(range(len(regions)), key=lambda i: -regions[i]["score"]):
        named = mentions(regions[i]["short_expr"], truth.kinds, truth.attributes)
        kind = named[0].kind if named else None
        overlap, best = max(
            (
                (overlaps[i][j], j)
                for j, thing in enumerate(objects)
                if j not in matched and thing.kind == kind
            ),
            default=(0.0, -1),
        )
        correct = overlap >= threshold
        scores.add(f"region_precision_{name}", correct)
        if correct:
            matched.add(best)
    scores.add(f"region_recall_{name}", len(matched), len(objects))
    if name == "50":
        for j, thing in enumerate(objects):
            if thing.held_out:
                scores.add("held_out_region_recall_50", j in matched)


def _texts(
    region: dict[str, Any],
    overlaps: list[float],
    objects: tuple[TrueObject, ...],
    truth: Truth,
    scores: Scores,
) -> None:
    """Judges the texts of a region whose box has an IoU of 0.5 or more with an object's."""
    best = max(overlaps, default=0.0)
    if best < 0.5:
        return
    thing = objects[overlaps.index(best)]
    named = [
        mentions(region[name], truth.kinds, truth.attributes)[:1]
        for name in ("short_expr", "long_expr")
    ]
    correct = all(
        m and m[0].kind == thing.kind and m[0].attributes.get("color") in _colors(thing)
        for m in named
    )
    scores.add("region_text_correct", correct)
    true = all(m and _true(m[0], thing) for m in named)
    if region["verified"] is not None:
        scores.add("verification_accuracy", region["verified"] == true)
    for negative in region["hard_negatives"]:
        stated = mentions(negative["text"], truth.kinds, truth.attributes)[:1]
        if not stated or negative["replacement"].lower() not in _words(truth):
            continue  # the truth file cannot tell
        false = not _true(stated[0], thing)
        scores.add("negatives_valid", false and _one_change(region["short_expr"], negative))
        if negative["verified"] is not None:
            scores.add("verification_accuracy", negative["verified"] == false)


def _colors(thing: TrueObject) -> tuple[str | None, ...]:
    """The colours that a text may give: the true one, or None if the truth file gives none."""
    return (thing.attributes["color"],) if "color" in thing.attributes else (None,)


def _words(truth: Truth) -> set[str]:
    return {word for words in truth.attributes.values() for word in words}


def _one_change(text: str, negative: dict[str, Any]) -> bool:
    """Whether `negative` is `text` with `original` replaced, apart from articles and case."""

    def bare(words: str) -> list[str]:
        return [w for w in re.findall(r"[\w'-]+", words.lower()) if w not in ("a", "an")]

    old, new = bare(negative["original"]), bare(negative["replacement"])
    before, after = bare(text), bare(negative["text"])
    if old == new:
        return False
    return any(
        before[i : i + len(old)] == old and before[:i] + new + before[i + len(old) :] == after
        for i in range(len(before))
    )
