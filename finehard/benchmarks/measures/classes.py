"""Features of classes: the mean of normalised text features over the templates, normalised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from finehard.benchmarks.encoder import Encoder, Features
from finehard.benchmarks.items import ClassList
from finehard.benchmarks.model import TextKind
from finehard.benchmarks.ranks import Integers, distinct

_TEXTS = 2048
"""Texts given to the model at a time."""


class ClassFeatures(NamedTuple):
    """Features of the distinct classes, and for each class its number among them."""

    features: Features
    which: Integers


def encode_classes(classes: ClassList, kind: TextKind, encoder: Encoder) -> ClassFeatures:
    """Returns the features of `classes`; those with equal names count as one."""
    names, which = distinct(classes.names)
    if len(names) < len(which):
        encoder.notes.append(
            f"{len(which) - len(names)} of {len(which)} classes have the name of another, and "
            "count as one with it"
        )
    templates = len(classes.templates)
    height = max(1, _TEXTS // templates)
    rows = []
    prompts = ClassList(tuple(names), classes.templates).prompts()
    for start in range(0, len(prompts), height):
        texts = [text for one in prompts[start : start + height] for text in one]
        features = encoder.encode_texts(texts, kind).astype(np.float64)
        mean = features.reshape(-1, templates, features.shape[1]).mean(1)
        rows.append(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12))
    return ClassFeatures(np.concatenate(rows).astype(np.float32), which)
