"""Post-processing of one image's boxes: raw model output to detections, and their selection.

Uses numpy only: selection must not import torch.
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
DECIMALS = 4
"""Rounding hides differences in the last bits between machines and batch sizes."""
CANDIDATES = 1000
"""Boxes that enter the raw NMS, best first; a dense detector outputs 8,400, nearly all weak."""

Floats = NDArray[np.float64]


class Detection(NamedTuple):
    """One detected box of one phrase."""

    phrase: int
    """Index into the image's phrases."""
    box: tuple[float, float, float, float]
    """Normalised xyxy, clipped to [0, 1], x1 < x2, y1 < y2."""
    score: float
    """0 to 1."""


def postprocess(
    boxes: Floats,
    scores: Floats,
    phrases: NDArray[np.int64],
    config: DetectConfig,
) -> list[Detection]:
    """Converts the raw model output of one image to detections, best first.

    `boxes` are (N, 4) normalised xyxy, not necessarily in [0, 1]; `scores` and `phrases` are (N,).
    Clips and rounds the boxes, drops empty and non-finite ones and those below `config.floor`,
    applies NMS within each phrase (`raw_nms_iou`), and returns the best `max_raw`. The order
    depends only on the rounded values.
    """
    boxes = np.clip(boxes.astype(np.float64), 0.0, 1.0).round(DECIMALS)
    scores = scores.astype(np.float64).round(DECIMALS)
    valid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (scores >= config.floor)
    boxes, scores, phrases = boxes[valid], scores[valid], phrases[valid]
    order = np.lexsort((*boxes.T[::-1], phrases, -scores))[:CANDIDATES]
    boxes, scores, phrases = boxes[order], scores[order], phrases[order]
    detections: list[Detection] = []
    alive = np.ones(len(scores), dtype=bool)
    for index in range(len(scores)):
        if not alive[index]:
            continue
        x1, y1, x2, y2 = boxes[index].tolist()
        detections.append(Detection(int(phrases[index]), (x1, y1, x2, y2), float(scores[index])))
        if len(detections) == config.max_raw:
            break
        copies = iou(boxes[index], boxes[index + 1 :]) > config.raw_nms_iou
        alive[index + 1 :] &= ~(copies & (phrases[index + 1 :] == phrases[index]))
    return detections


def _shape_rule(detection: Detection, config: DetectConfig, width: int, height: int) -> str | None:
    """Returns the first per-box rule that drops `detection`, or None.

    The comparisons are written so that NaN is dropped.
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
    """Runs greedy NMS in the given order: clears flags in `alive`, returns the cleared indices."""
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
    """Returns the selected detections, best first, and those that each rule of `RULES` dropped.

    `width` and `height` are the image's, in pixels. Every detection is in exactly one of the two.
    The result does not depend on the order of `detections`: ties in score go to the lower phrase
    index, then to the smaller box coordinates. Greedy NMS runs within each phrase first, then
    across phrases on the remaining boxes.
    """
    dropped: dict[str, list[Detection]] = {rule: [] for rule in RULES}
    candidates: list[Detection] = []
    for detection in detections:
        rule = _shape_rule(detection, config, width, height)
        if rule is None:
            candidates.append(detection)
        else:
            dropped[rule].append(detection)
    candidates.sort(key=lambda detection: (-detection.score, detection.phrase, detection.box))
    if len(candidates) > 1:
        boxes = np.array([detection.box for detection in candidates], dtype=np.float64)
        phrases = np.array([detection.phrase for detection in candidates])
        overlaps = iou(boxes[:, None], boxes[None, :])
        same = phrases[:, None] == phrases[None, :]
        rank = np.arange(len(candidates))
        better = rank[:, None] < rank[None, :]
        alive = [True] * len(candidates)
        within = _suppress(better & same & (overlaps > config.nms_iou), alive)
        across = _suppress(better & ~same & (overlaps > config.cross_nms_iou), alive)
        dropped["nms"] = [candidates[index] for index in within]
        dropped["cross_phrase_nms"] = [candidates[index] for index in across]
        candidates = [
            detection for detection, stays in zip(candidates, alive, strict=True) if stays
        ]
    selected: list[Detection] = []
    of_phrase: Counter[int] = Counter()
    for detection in candidates:
        if of_phrase[detection.phrase] == config.max_boxes_per_phrase:
            dropped["too_many_for_phrase"].append(detection)
        elif len(selected) == config.max_boxes:
            dropped["too_many_boxes"].append(detection)
        else:
            of_phrase[detection.phrase] += 1
            selected.append(detection)
    return selected, dropped


def check(detections: Sequence[Detection], phrases: int, config: DetectConfig) -> list[Detection]:
    """Validates the output of a user's detector for one image, and post-processes it.

    Raises `ValueError` if a detection is malformed or its phrase index is out of range.
    """
    for phrase, box, score in detections:
        if not 0 <= phrase < phrases:
            raise ValueError(f"phrase index {phrase} of {phrases} phrases")
        if len(box) != 4 or not all(math.isfinite(number) for number in (*box, score)):
            raise ValueError(f"box {box} with score {score}")
    if not detections:
        return []
    return postprocess(
        np.array([detection[1] for detection in detections]),
        np.array([detection[2] for detection in detections]),
        np.array([detection[0] for detection in detections]),
        config,
    )
