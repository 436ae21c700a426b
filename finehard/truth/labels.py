"""A person's labels of a dataset's images: which texts are true, which boxes right, what is missed.

docs/truth.md describes the format. `read_labels(path)` reads a file, `measure_labels` compares a
dataset with it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finehard.audit.interval import wilson
from finehard.boxes import iou
from finehard.errors import UsageError, typed_error_line
from finehard.records import Box, one_line

VERSION = "1.0"
NAMES = (
    "caption_sentences_true", "region_recall", "boxes_right", "region_text_correct",
    "negatives_valid", "verification_accuracy",
)  # fmt: skip
_SENTENCE = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])")
_SAME_PLACE = 0.5
"""IoU from which the labels of a box hold for another dataset's box."""


@dataclass(frozen=True)
class LabelledRegion:
    """A box with the label of what is in it. `right` is whether it holds what `text` names;
    `true` has the texts that were labelled. None: not labelled, or unsure."""

    box: Box
    text: str
    right: bool | None
    true: dict[str, bool]


@dataclass(frozen=True)
class LabelledImage:
    """The labels of one image: of captions' sentences and regions, and the objects without one."""

    sentences: dict[str, bool]
    regions: tuple[LabelledRegion, ...]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """A labels file. `by_key` and `by_sha256` map images to their labels."""

    by_key: dict[str, LabelledImage]
    by_sha256: dict[str, LabelledImage]

    def of(self, sample: dict[str, Any]) -> LabelledImage | None:
        """The labels of a sample, by its image's SHA-256 or else by its key; None if unlabelled."""
        found = self.by_sha256.get(sample["image"]["sha256"])
        return found if found is not None else self.by_key.get(sample["key"])


def sentences(caption: str) -> list[str]:
    """The sentences of a caption, each on one line."""
    return [text for part in _SENTENCE.split(caption) if (text := one_line(part))]


def parse_labels(lines: Iterable[str], name: str) -> Labels:
    """The labels in `lines`, of which the first is the header; empty lines are left out.

    Raises `UsageError` with `name` and the line that is wrong.
    """
    by_key: dict[str, LabelledImage] = {}
    by_sha256: dict[str, LabelledImage] = {}
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            row = json.loads(line)
            if number == 1:
                if row["labels_version"] != VERSION:
                    raise ValueError(f"labels_version must be {VERSION!r}")
                continue
            labelled = _image(row)
            by_key[str(row["key"])] = labelled
            digest = row.get("image", {}).get("sha256")
            if digest:
                by_sha256[str(digest)] = labelled
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"labels {name}, line {number}: {typed_error_line(error, 200)}; see docs/truth.md"
        ) from None
    if not by_key:
        raise UsageError(f"labels {name}: no images in it; see docs/truth.md")
    return Labels(by_key, by_sha256)


def read_labels(path: str | Path) -> Labels | None:
    """Reads the labels file at `path`; None if its first line is not the header of one.

    Raises `UsageError` with the line that is wrong.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        header = json.loads(lines[0])
    except (OSError, ValueError, IndexError, RecursionError):
        return None
    if not isinstance(header, dict) or "labels_version" not in header:
        return None
    return parse_labels(lines, str(path))


def _image(row: dict[str, Any]) -> LabelledImage:
    return LabelledImage(
        _labelled(row.get("sentences", [])),
        tuple(_region(region) for region in row.get("regions", [])),
        tuple(_text(missed) for missed in row.get("missed", [])),
    )


def _region(row: dict[str, Any]) -> LabelledRegion:
    x1, y1, x2, y2 = (float(side) for side in row["box"])
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise ValueError(f"box {row['box']} is not normalised xyxy")
    right = row.get("right")
    if right is not None and type(right) is not bool:
        raise ValueError(f"right is {right!r}: true, false or null")
    return LabelledRegion((x1, y1, x2, y2), _text(row["text"]), right, _labelled(row["statements"]))


def _labelled(rows: list[dict[str, Any]]) -> dict[str, bool]:
    labelled = {}
    for row in rows:
        true = row["true"]
        if true is not None and type(true) is not bool:
            raise ValueError(f"true is {true!r}: true, false or null")
        if true is not None:
            labelled[_text(row["text"])] = true
    return labelled


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a text")
    return one_line(text)


def measure_labels(samples: Iterable[dict[str, Any]], labels: Labels) -> dict[str, Any]:
    """Figures over the samples (schemas/sample.schema.json) whose images have labels.

    Returns {"figures": {name: ratio or None}, "intervals": {name: 95 % interval}, "counted": {name:
    number of items}, "samples": N, "without_labels": N, "missing": N, "unlabelled": number of texts
    and boxes that nobody labelled}. The labels of a region hold for the region of `samples` that
    overlaps it most, if the IoU is 0.5 or more; those of a text, where the text is the same.
    Objects of images that are not in the dataset count as missed.
    """
    scores = _Scores()
    measured = without = 0
    matched: set[int] = set()
    for sample in samples:
        labelled = labels.of(sample)
        if labelled is None:
            without += 1
            continue
        measured += 1
        matched.add(id(labelled))
        for name in ("short_caption", "long_caption"):
            for sentence in sentences(sample[name]):
                scores.add("caption_sentences_true", labelled.sentences.get(sentence))
        scores.of_regions(sample["regions"], labelled)
    missing = [one for one in labels.by_key.values() if id(one) not in matched]
    for labelled in missing:
        scores.of_regions([], labelled)
    share = {n: scores.right[n] / scores.all[n] if scores.all[n] else None for n in NAMES}
    return {
        "figures": share,
        "intervals": {n: [round(end, 4) for end in wilson(share[n] or 0.0, scores.all[n])]
                      for n in NAMES},
        "counted": {name: scores.all[name] for name in NAMES},
        "samples": measured,
        "without_labels": without,
        "missing": len(missing),
        "unlabelled": scores.unlabelled,
    }  # fmt: skip


class _Scores:
    """Counts of correct items and of all, by figure, and of items without a label."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.all: Counter[str] = Counter()
        self.unlabelled = 0

    def add(self, name: str, right: bool | None) -> None:
        """Adds an item, or counts that it has no label (None)."""
        if right is None:
            self.unlabelled += 1
        else:
            self.right[name] += right
            self.all[name] += 1

    def of_regions(self, regions: list[dict[str, Any]], labelled: LabelledImage) -> None:
        """Adds the regions of an image with their texts, and what is missed."""
        found: set[int] = set()
        for region in regions:
            at = _at(region["box"], labelled.regions)
            if at is None:
                self.unlabelled += 3 + len(region["hard_negatives"])
                continue
            found.add(at)
            known = labelled.regions[at]
            same = one_line(region["short_expr"]) == known.text
            self.add("boxes_right", known.right if same else None)
            self._texts(region, known.true)
        for number, known in enumerate(labelled.regions):
            if known.right:
                self.add("region_recall", number in found)
        for _ in labelled.missed:
            self.add("region_recall", False)

    def _texts(self, region: dict[str, Any], true: dict[str, bool]) -> None:
        both = [true.get(one_line(region[name])) for name in ("short_expr", "long_expr")]
        correct = False if False in both else None if None in both else True
        self.add("region_text_correct", correct)
        if correct is not None and region["verified"] is not None:
            self.add("verification_accuracy", region["verified"] == correct)
        for negative in region["hard_negatives"]:
            stated = true.get(one_line(negative["text"]))
            false = None if stated is None else not stated
            self.add("negatives_valid", false)
            if false is not None and negative["verified"] is not None:
                self.add("verification_accuracy", negative["verified"] == false)


def _at(box: list[float], regions: tuple[LabelledRegion, ...]) -> int | None:
    """The number of the region that overlaps `box` most; None if none does enough."""
    if not regions:
        return None
    overlaps = iou([box], [region.box for region in regions])
    best = int(overlaps.argmax())
    return best if overlaps[best] >= _SAME_PLACE else None
