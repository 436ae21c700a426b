"""What training makes small: wrong boxes, wrong answers to phrases, cells that see nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finehard.demo.detector.phrases import SETTING, matches, phrase, specs
from finehard.demo.world import COLORS, KINDS, PATTERNS, Thing


def _box_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """L1 and generalised IoU (Rezatofighi et al. 2019), summed, mean over boxes (N, 4) xyxy."""
    low = torch.maximum(predicted[:, :2], target[:, :2])
    high = torch.minimum(predicted[:, 2:], target[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=1e-4).prod(1) for b in (predicted, target)]
    union = areas[0] + areas[1] - inner
    outer = (
        torch.maximum(predicted[:, 2:], target[:, 2:])
        - torch.minimum(predicted[:, :2], target[:, :2])
    ).prod(1)
    giou = inner / union - (outer - union) / outer
    return (5 * (predicted - target).abs().sum(1) + 2 * (1 - giou)).mean()


class CellHeads(torch.nn.Module):
    """What each cell shows, by name; only for training, where it teaches sight before words."""

    sizes = (len(KINDS) + 1, len(COLORS), len(PATTERNS))

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(width, sum(self.sizes))

    def loss(self, features: Tensor, owners: Tensor, things: list[Thing]) -> Tensor:
        """Mean of three cross entropies; `features` (B, cells, D), `owners` (B, cells)."""
        parts = self.out(features).float().split(self.sizes, -1)
        named = torch.tensor(
            [
                (KINDS.index(t.kind) + 1, COLORS.index(t.color), PATTERNS.index(t.pattern))
                for t in things
            ]
        )
        shown = owners >= 0
        kinds = torch.zeros_like(owners)
        kinds[shown] = named[owners[shown], 0]
        loss = F.cross_entropy(parts[0].flatten(0, 1), kinds.flatten())
        for index in (0, 1, 2):
            loss = loss + F.cross_entropy(parts[index][shown], named[owners[shown], index])
        return loss


def losses(
    model: Any, heads: CellHeads, tokenizer: Any, batch: Any, phrases: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The parts of the loss on a batch of `batches.draw`, by name, asking `phrases` phrases."""
    pixels, scenes, both, boxes = batch
    owners, wide = both.unbind(1)
    wanted = specs(scenes, phrases, rng)
    asked = [SETTING[rng.integers(len(SETTING))] if s is None else phrase(s, rng) for s in wanted]
    tokens = tokenizer(asked, padding=True, return_tensors="pt")
    things = [t for s in scenes for t in s.things]
    true = torch.tensor([[s is not None and matches(s, t) for s in wanted] for t in things])
    with torch.autocast("cpu", torch.bfloat16):
        grid = model.image_embedder(pixels)[0]
        features = grid.flatten(1, 2)
        text = model.owlvit.get_text_features(**tokens)
        text = getattr(text, "pooler_output", text)
        text = text / text.norm(dim=-1, keepdim=True)
        queries = text[None].expand(len(pixels), -1, -1)
        logits = model.class_predictor(features, queries)[0].float()
        positive = owners >= 0
        deltas = model.box_predictor(features, grid).float()
        shown = heads.loss(features, wide, things)
    targets = torch.zeros_like(logits)
    targets[positive] = true[owners[positive]].float()
    chance = torch.sigmoid(logits)
    wrong = torch.where(targets > 0, 1 - chance, chance)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * wrong**2
    loss = loss * torch.where(targets > 0, 0.7, 0.3)
    named = loss[owners != -2].sum() / targets.sum().clamp(min=1)
    centre, extent = deltas[wide >= 0].split(2, -1)
    found = torch.cat((centre - extent / 2, centre + extent / 2), -1)
    box = _box_loss(found, boxes[wide[wide >= 0]])
    return {"phrase": named, "box": box, "cells": 0.5 * shown}
