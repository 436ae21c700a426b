"""How true a dataset is: its captions, boxes, texts and negatives against known objects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from finehard.records import Box
from finehard.truth import TrueObject, Truth
from finehard.truth.mention import Mention, mentions

Phrases = Callable[[str], Iterable[str]]
"""A caption's phrases, as the build finds them."""


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two xyxy boxes."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(0.0, w) * max(0.0, h)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / union if union > 0 else 0.0


class Tally:
    """Sums of right and of all, by name; `figures` gives their ratios."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.all: Counter[str] = Counter()

    def add(self, name: str, right: float, of: int = 1) -> None:
        """`right` of `of` more were right."""
        self.right[name] += right  # type: ignore[assignment]
        self.all[name] += of

    def figures(self) -> dict[str, float | None]:
        """Name to ratio; None where nothing was there to count."""
        return {n: self.right[n] / self.all[n] if self.all[n] else None for n in NAMES}


NAMES = (
    "caption_precision", "caption_recall", "hallucinated_per_caption", "phrase_recall",
    "region_recall_50", "region_precision_50", "region_recall_75", "region_precision_75",
    "held_out_region_recall_50", "region_text_correct", "negatives_valid",
    "verification_accuracy",
)  # fmt: skip


def measure(samples: Iterable[dict[str, Any]], truth: Truth, phrases: Phrases) -> dict[str, Any]:
    """Figures over the samples (data contract) that the truth file knows.

    Returns {"figures": {name: ratio or None}, "counted": {name: how many}, "samples": N,
    "without_truth": N, "missing": N}. Images of the truth file that are no sample count as
    missed in the recalls of boxes and captions, so that dropping the hard ones does not help.
    """
    tally = Tally()
    seen, unknown, keys = 0, 0, set()
    for sample in samples:
        objects = truth.of(sample)
        if objects is None:
            unknown += 1
            continue
        seen += 1
        keys.add(id(objects))
        _caption(sample, objects, truth, tally)
        _phrases(sample, objects, truth, phrases, tally)
        for name, least in (("50", 0.5), ("75", 0.75)):
            _boxes(sample, objects, truth, name, least, tally)
        for region in sample["regions"]:
            _texts(region, objects, truth, tally)
    missing = [o for o in truth.by_key.values() if id(o) not in keys]
    for objects in missing:
        tally.add("caption_recall", 0, sum(1 + len(o.attributes) for o in objects))
        tally.add("phrase_recall", 0, len(objects))
        for name in ("region_recall_50", "region_recall_75"):
            tally.add(name, 0, len(objects))
        tally.add("held_out_region_recall_50", 0, sum(o.held_out for o in objects))
    return {
        "figures": tally.figures(),
        "counted": {name: tally.all[name] for name in NAMES},
        "samples": seen,
        "without_truth": unknown,
        "missing": len(missing),
    }


def _agreement(mention: Mention, thing: TrueObject) -> int:
    return sum(thing.attributes.get(n) == w for n, w in mention.attributes.items())


def _pairs(
    found: list[Mention], objects: tuple[TrueObject, ...]
) -> list[tuple[Mention, TrueObject | None]]:
    """Each mention with the object it is of: same kind, most attributes alike, each object once."""
    order = sorted(
        (
            (-_agreement(m, o), i, j)
            for i, m in enumerate(found)
            for j, o in enumerate(objects)
            if m.kind == o.kind
        )
    )
    taken: dict[int, int] = {}
    for _, i, j in order:
        if i not in taken and j not in taken.values():
            taken[i] = j
    return [(m, objects[taken[i]] if i in taken else None) for i, m in enumerate(found)]


def _caption(
    sample: dict[str, Any], objects: tuple[TrueObject, ...], truth: Truth, tally: Tally
) -> None:
    found = mentions(sample["long_caption"], truth.kinds, truth.attributes)
    right = 0
    for mention, thing in _pairs(found, objects):
        if thing is not None:
            right += 1 + _agreement(mention, thing)
        tally.add("hallucinated_per_caption", thing is None, 0)
    tally.add("hallucinated_per_caption", 0)
    tally.add("caption_precision", right, sum(1 + len(m.attributes) for m in found))
    tally.add("caption_recall", right, sum(1 + len(o.attributes) for o in objects))


def _phrases(
    sample: dict[str, Any],
    objects: tuple[TrueObject, ...],
    truth: Truth,
    phrases: Phrases,
    tally: Tally,
) -> None:
    named = [
        mention
        for phrase in phrases(sample["long_caption"])
        for mention in mentions(phrase, truth.kinds, truth.attributes)[-1:]
    ]
    true = [m for m in named if any(_true(m, o) for o in objects)]
    hit = {id(o) for _, o in _pairs(true, objects) if o is not None}
    tally.add("phrase_recall", len(hit), len(objects))


def _true(mention: Mention, thing: TrueObject) -> bool:
    """Whether all that is said is true of the object."""
    return mention.kind == thing.kind and _agreement(mention, thing) == len(mention.attributes)


def _boxes(
    sample: dict[str, Any],
    objects: tuple[TrueObject, ...],
    truth: Truth,
    name: str,
    least: float,
    tally: Tally,
) -> None:
    """A region is right where its box is an object's of the kind that its text names."""
    taken: set[int] = set()
    for region in sorted(sample["regions"], key=lambda r: -r["score"]):
        said = mentions(region["short_expr"], truth.kinds, truth.attributes)
        kind = said[0].kind if said else None
        best = max(
            (
                (iou(region["box"], thing.box), j)
                for j, thing in enumerate(objects)
                if j not in taken and thing.kind == kind
            ),
            default=(0.0, -1),
        )
        right = best[0] >= least
        tally.add(f"region_precision_{name}", right)
        if right:
            taken.add(best[1])
    tally.add(f"region_recall_{name}", len(taken), len(objects))
    if name == "50":
        for j, thing in enumerate(objects):
            if thing.held_out:
                tally.add("held_out_region_recall_50", j in taken)


def _at(box: Box, objects: tuple[TrueObject, ...]) -> TrueObject | None:
    """The object that has this box best, at an IoU of 0.5 or more."""
    best = max(objects, key=lambda o: iou(box, o.box), default=None)
    return best if best is not None and iou(box, best.box) >= 0.5 else None


def _texts(
    region: dict[str, Any], objects: tuple[TrueObject, ...], truth: Truth, tally: Tally
) -> None:
    thing = _at(region["box"], objects)
    if thing is None:
        return
    said = [
        mentions(region[name], truth.kinds, truth.attributes)[:1]
        for name in ("short_expr", "long_expr")
    ]
    correct = all(
        m and m[0].kind == thing.kind and m[0].attributes.get("color") in _colors(thing)
        for m in said
    )
    tally.add("region_text_correct", correct)
    true = all(m and _true(m[0], thing) for m in said)
    if region["verified"] is not None:
        tally.add("verification_accuracy", region["verified"] == true)
    for negative in region["hard_negatives"]:
        stated = mentions(negative["text"], truth.kinds, truth.attributes)[:1]
        if not stated or negative["replacement"].lower() not in _words(truth):
            continue  # nothing that the truth file could judge
        false = not _true(stated[0], thing)
        tally.add("negatives_valid", false and _one_change(region["short_expr"], negative))
        if negative["verified"] is not None:
            tally.add("verification_accuracy", negative["verified"] == false)


def _colors(thing: TrueObject) -> tuple[str | None, ...]:
    """Colours a text may give: the true one; none too, where the truth file knows none."""
    return (thing.attributes["color"],) if "color" in thing.attributes else (None,)


def _words(truth: Truth) -> set[str]:
    return {word for words in truth.attributes.values() for word in words}


def _one_change(text: str, negative: dict[str, Any]) -> bool:
    """Whether `negative` is `text` with `original` replaced, articles and case aside."""

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
