"""The true text of a box among false ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finehard.benchmarks.benchmark import Figure
from finehard.benchmarks.encoder import Encoder
from finehard.benchmarks.items import Boxes
from finehard.benchmarks.measures.box_classes import share_of_boxes
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import TIE, distinct


@dataclass(frozen=True)
class BoxTexts:
    """Yields top1: the share of boxes whose own text scores above all its false ones.

    As published, a tie with a false text is right.
    """

    kind: TextKind = "region"

    def __call__(self, data: Boxes, encoder: Encoder) -> list[Figure]:
        """Returns the figure."""
        texts, which = distinct(text for item in data.items for box in item.texts for text in box)
        features = encoder.encode_texts(texts, self.kind)
        numbers = iter(which.tolist())
        rows = {
            id(item): [[next(numbers) for _ in box] for box in item.texts] for item in data.items
        }
        strict, lenient, counts = [], [], []
        for batch, regions in encoder.encode_boxes(data.items):
            for item, boxes in zip(batch, regions, strict=True):
                for box, row, answer in zip(boxes, rows[id(item)], item.answers, strict=True):
                    scores = features[row] @ box
                    others = scores[[n != row[answer] for n in row]]
                    strict.append(int((others >= scores[answer] - np.float32(TIE)).any()))
                    lenient.append(int((np.delete(scores, answer) > scores[answer]).any()))
                counts.append(len(item.answers))
        return share_of_boxes(np.array(strict), np.array(lenient), counts, {"top1": 1})
