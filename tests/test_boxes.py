"""Intersection over union."""

from __future__ import annotations

import pytest

from finehard.boxes import iou


def test_iou_of_two_boxes() -> None:
    assert iou((0, 0, 1, 1), (0, 0, 1, 1)) == 1
    assert iou((0, 0, 0.5, 1), (0.25, 0, 0.75, 1)) == pytest.approx(1 / 3)
    assert iou((0, 0, 0.1, 0.1), (0.5, 0.5, 1, 1)) == 0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_iou_broadcasts() -> None:
    boxes = [[[0, 0, 1, 1]], [[0, 0, 0.5, 1]]]
    others = [[0, 0, 1, 1], [0.25, 0, 0.75, 1], [2, 2, 3, 3]]
    assert iou(boxes, others).tolist() == [[1, 0.5, 0], [0.5, pytest.approx(1 / 3), 0]]
