"""Boxes of one image: bring a model's raw output into order, and choose what is kept.

numpy only; every image passes through here.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finehard.boxes import iou
from finehard.detect.config import DetectConfig

RULES = (
    "below_score",
    "too_small",
    "too_large",
    "too_elongated",
    "nms",
    "cross_phrase_nms",
    "too_many_for_phrase",
    "too_many_boxes",
)
# Rounding hides the last bits, in which machines and batch sizes differ.
DECIMALS = 4
# Raw boxes that enter the raw NMS; a dense detector has 8,400 and the weak ones never win.
CANDIDATES = 1000

Floats = NDArray[np.float64]


class Detection(NamedTuple):
    """One box that a detector proposes for one phrase."""

    phrase: int
    """Index into the image's phrases."""
    box: tuple[float, float, float, float]
    """Normalised xyxy, clipped to [0, 1], x1 < x2, y1 < y2."""
    score: float
    """0 to 1."""


def tidy(
    boxes: Floats,
    scores: Floats,
    phrases: NDArray[np.int64],
    config: DetectConfig,
) -> list[Detection]:
    """Raw model output of one image as detections, best first.

    boxes (N, 4) normalised xyxy of any range, scores (N,), phrases (N,). Boxes are clipped and
    rounded to 4 decimals, empty and non-finite ones and those below `config.floor` dropped, near
    copies within a phrase merged (`raw_nms_iou`), and the best `max_raw` returned. The order
    depends on the rounded values alone.
    """
    boxes = np.clip(boxes.astype(np.float64), 0.0, 1.0).round(DECIMALS)
    scores = scores.astype(np.float64).round(DECIMALS)
    valid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (scores >= config.floor)
    boxes, scores, phrases = boxes[valid], scores[valid], phrases[valid]
    order = np.lexsort((*boxes.T[::-1], phrases, -scores))[:CANDIDATES]
    boxes, scores, phrases = boxes[order], scores[order], phrases[order]
    found: list[Detection] = []
    alive = np.ones(len(scores), dtype=bool)
    for index in range(len(scores)):
        if not alive[index]:
            continue
        x1, y1, x2, y2 = boxes[index].tolist()
        found.append(Detection(int(phrases[index]), (x1, y1, x2, y2), float(scores[index])))
        if len(found) == config.max_raw:
            break
        copies = iou(boxes[index], boxes[index + 1 :]) > config.raw_nms_iou
        alive[index + 1 :] &= ~(copies & (phrases[index + 1 :] == phrases[index]))
    return found


def _shape_rule(detection: Detection, config: DetectConfig, width: int, height: int) -> str | None:
    """The first rule on the box alone that drops it, or None.

    Comparisons are written so that NaN is dropped.
    """
    x1, y1, x2, y2 = detection.box
    if not detection.score >= config.score:
        return "below_score"
    wide, high = x2 - x1, y2 - y1
    if not (wide > 0.0 and high > 0.0 and wide * high >= config.min_area):
        return "too_small"
    if not wide * high <= config.max_area:
        return "too_large"
    wide, high = wide * width, high * height
    if not max(wide, high) <= config.max_aspect * min(wide, high):
        return "too_elongated"
    return None


def _suppress(overlap: NDArray[np.bool_], alive: list[bool]) -> list[int]:
    """Greedy NMS in the given order; clears flags in `alive` and returns which it cleared."""
    cleared = []
    for index in np.flatnonzero(overlap.any(axis=1)).tolist():
        if alive[index]:
            for other in np.flatnonzero(overlap[index]).tolist():
                if alive[other]:
                    cleared.append(other)
                alive[other] = False
    return cleared


def select(
    detections: Sequence[Detection], config: DetectConfig, width: int, height: int
) -> tuple[list[Detection], dict[str, list[Detection]]]:
    """The detections to keep, best first, and those that each rule of RULES dropped.

    `width` and `height` are the image's, in pixels. Kept + dropped = given. The result does not
    depend on the order of `detections`: ties in score go to the lower phrase index, then to the
    box further to the upper left. Greedy NMS runs within each phrase first, then across phrases
    on what is left.
    """
    dropped: dict[str, list[Detection]] = {rule: [] for rule in RULES}
    kept: list[Detection] = []
    for detection in detections:
        rule = _shape_rule(detection, config, width, height)
        if rule is None:
            kept.append(detection)
        else:
            dropped[rule].append(detection)
    kept.sort(key=lambda detection: (-detection.score, detection.phrase, detection.box))
    if len(kept) > 1:
        boxes = np.array([detection.box for detection in kept], dtype=np.float64)
        phrases = np.array([detection.phrase for detection in kept])
        overlaps = iou(boxes[:, None], boxes[None, :])
        same = phrases[:, None] == phrases[None, :]
        rank = np.arange(len(kept))
        better = rank[:, None] < rank[None, :]
        alive = [True] * len(kept)
        within = _suppress(better & same & (overlaps > config.nms_iou), alive)
        across = _suppress(better & ~same & (overlaps > config.cross_nms_iou), alive)
        dropped["nms"] = [kept[index] for index in within]
        dropped["cross_phrase_nms"] = [kept[index] for index in across]
        kept = [detection for detection, stays in zip(kept, alive, strict=True) if stays]
    final: list[Detection] = []
    of_phrase: Counter[int] = Counter()
    for detection in kept:
        if of_phrase[detection.phrase] == config.max_boxes_per_phrase:
            dropped["too_many_for_phrase"].append(detection)
        elif len(final) == config.max_boxes:
            dropped["too_many_boxes"].append(detection)
        else:
            of_phrase[detection.phrase] += 1
            final.append(detection)
    return final, dropped


def check(detections: Sequence[Detection], phrases: int, config: DetectConfig) -> list[Detection]:
    """The answer of a detector that is not ours, tidied like the answer of our own.

    Raises ValueError where a detection is malformed or names a phrase that was not asked.
    """
    for phrase, box, score in detections:
        if not 0 <= phrase < phrases:
            raise ValueError(f"phrase index {phrase} of {phrases} phrases")
        if len(box) != 4 or not all(math.isfinite(number) for number in (*box, score)):
            raise ValueError(f"box {box} with score {score}")
    if not detections:
        return []
    return tidy(
        np.array([detection[1] for detection in detections]),
        np.array([detection[2] for detection in detections]),
        np.array([detection[0] for detection in detections]),
        config,
    )
