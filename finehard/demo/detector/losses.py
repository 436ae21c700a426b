"""The detector's training loss: boxes, phrases, and an auxiliary classification of patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finehard.demo.detector.batches import IGNORE, Batch
from finehard.demo.detector.phrases import SETTING, draw_specs, matches, phrase
from finehard.demo.world import COLORS, KINDS, PATTERNS, Thing


def _box_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Returns L1 plus generalised IoU loss (Rezatofighi et al. 2019), mean over (N, 4) xyxy."""
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


class PatchHeads(torch.nn.Module):
    """Auxiliary classifiers of the object at each patch, used in training only.

    They train the image tower before phrases give it a useful gradient.
    """

    sizes = (len(KINDS) + 1, len(COLORS), len(PATTERNS))

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(width, sum(self.sizes))

    def loss(self, features: Tensor, assigned: Tensor, things: list[Thing]) -> Tensor:
        """Returns the summed cross entropies of kind, color and pattern.

        `features` (B, patches, D); `assigned` (B, patches), indices of `things`.
        """
        logits = self.out(features).float().split(self.sizes, -1)
        labels = torch.tensor(
            [
                (KINDS.index(t.kind) + 1, COLORS.index(t.color), PATTERNS.index(t.pattern))
                for t in things
            ]
        )
        occupied = assigned >= 0
        kinds = torch.zeros_like(assigned)
        kinds[occupied] = labels[assigned[occupied], 0]
        loss = F.cross_entropy(logits[0].flatten(0, 1), kinds.flatten())
        for index in (0, 1, 2):
            target = labels[assigned[occupied], index]
            loss = loss + F.cross_entropy(logits[index][occupied], target)
        return loss


def losses(
    model: Any,
    heads: PatchHeads,
    tokenizer: Any,
    batch: Batch,
    phrases: int,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Returns the parts of the loss on `batch` by name, for `phrases` random phrases."""
    specs = draw_specs(batch.scenes, phrases, rng)
    texts = [SETTING[rng.integers(len(SETTING))] if s is None else phrase(s, rng) for s in specs]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    things = [t for s in batch.scenes for t in s.things]
    true = torch.tensor([[s is not None and matches(s, t) for s in specs] for t in things])
    with torch.autocast("cpu", torch.bfloat16):
        grid = model.image_embedder(batch.pixels)[0]
        features = grid.flatten(1, 2)
        text = model.owlvit.get_text_features(**tokens)
        text = getattr(text, "pooler_output", text)
        text = text / text.norm(dim=-1, keepdim=True)
        queries = text[None].expand(len(batch.pixels), -1, -1)
        logits = model.class_predictor(features, queries)[0].float()
        deltas = model.box_predictor(features, grid).float()
        patch_loss = heads.loss(features, batch.wide, things)
    occupied = batch.strict >= 0
    targets = torch.zeros_like(logits)
    targets[occupied] = true[batch.strict[occupied]].float()
    probability = torch.sigmoid(logits)
    error = torch.where(targets > 0, 1 - probability, probability)
    focal = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * error**2
    focal = focal * torch.where(targets > 0, 0.7, 0.3)
    phrase_loss = focal[batch.strict != IGNORE].sum() / targets.sum().clamp(min=1)
    occupied = batch.wide >= 0
    centre, extent = deltas[occupied].split(2, -1)
    predicted = torch.cat((centre - extent / 2, centre + extent / 2), -1)
    box_loss = _box_loss(predicted, batch.boxes[batch.wide[occupied]])
    return {"phrase": phrase_loss, "box": box_loss, "patches": 0.5 * patch_loss}
