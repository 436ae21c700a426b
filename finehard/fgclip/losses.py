"""The losses of FG-CLIP and FG-CLIP 2, as functions of tensors.

Features are normalised to length 1. Every function returns a value for each row, so that the
caller decides over what is averaged: one process, or all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(
    rows: Tensor, columns: Tensor, target: Tensor, scale: Tensor, same: Tensor | None = None
) -> Tensor:
    """(n,) InfoNCE of one direction: each of (n, D) `rows` finds its own of (N, D) `columns`.

    -log( exp(s x_i.y_t) / sum_j exp(s x_i.y_j) ), t = `target` (n,), s = `scale` (FG-CLIP,
    arXiv 2505.05071, eq. 1; its two directions are averaged). Where (n, N) bool `same` is true,
    column j says the same as the target and is left out of the sum.
    """
    logits = scale * rows @ columns.T
    if same is not None:
        own = torch.zeros_like(same).scatter_(1, target[:, None], True)
        logits = logits.masked_fill(same & ~own, float("-inf"))
    return functional.cross_entropy(logits, target, reduction="none")


def hard_negative(
    regions: Tensor, positives: Tensor, negatives: Tensor, valid: Tensor, scale: Tensor
) -> Tensor:
    """(R,) loss of each region against its own negatives, image to text.

    -log( exp(s x.p) / (exp(s x.p) + sum_k exp(s x.n_k)) ) for (R, D) `regions` and `positives`,
    (R, K, D) `negatives` of which those count that (R, K) `valid` says (FG-CLIP, eq. 4, which has
    K = 10 always). A region without negatives has loss 0.
    """
    own = (regions * positives).sum(-1, keepdim=True)
    others = torch.einsum("rd,rkd->rk", regions, negatives)
    others = (scale * others).masked_fill(~valid, float("-inf"))
    logits = torch.cat([scale * own, others], 1)
    return logits.logsumexp(1) - logits[:, 0]


def text_separation(texts: Tensor, neighbours: int = 10, same_above: float = 0.95) -> Tensor:
    """(M,) textual intra-modal contrastive loss (TIC) of (M, D) `texts`, of FG-CLIP 2.

    -log( 1 / sum_{m in T_i} exp S(T_i, T_m) ), S the cosine, T_i the `neighbours` most similar
    other texts, those with S > `same_above` left out before the choice. The published loss is the
    sum over i. A text without such neighbours has loss 0.
    """
    similar = texts @ texts.T
    out = torch.eye(len(texts), dtype=torch.bool, device=texts.device) | (similar > same_above)
    nearest = similar.masked_fill(out, float("-inf")).topk(min(neighbours, len(texts)), 1).values
    some = nearest[:, 0] > float("-inf")
    loss = texts.new_zeros(len(texts))
    return loss.masked_scatter(some, nearest[some].logsumexp(1))


def ranking(
    regions: Tensor, positives: Tensor, negatives: Tensor, valid: Tensor, margins: Tensor
) -> tuple[Tensor, Tensor]:
    """(R, K) cross-modal rank loss with global thresholds (CMR), of FG-CLIP 2, and (R, K) gaps.

    max(0, S(I, T_k) - S(I, T) + tau_k), S the cosine; shapes as in `hard_negative`, tau = (K,)
    `margins`; 0 where not `valid`. The gap is S(I, T) - S(I, T_k), without gradient: its mean over
    all regions of a step is the tau_k of the next.
    """
    own = (regions * positives).sum(-1, keepdim=True)
    gaps = own - torch.einsum("rd,rkd->rk", regions, negatives)
    loss = (margins - gaps).clamp(min=0).masked_fill(~valid, 0.0)
    return loss, gaps.detach().masked_fill(~valid, 0.0)
