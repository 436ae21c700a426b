"""The losses of FG-CLIP and FG-CLIP 2, as functions of tensors.

Features are L2-normalised. Every function returns a value for each row, so that the caller decides
whether to average over one process or all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(
    rows: Tensor, columns: Tensor, target: Tensor, scale: Tensor, same: Tensor | None = None
) -> Tensor:
    """Returns (n,) InfoNCE in one direction, of (n, D) `rows` against (N, D) `columns`.

    -log( exp(s x_i.y_t) / sum_j exp(s x_i.y_j) ), t = `target` (n,), s = `scale` (FG-CLIP,
    arXiv 2505.05071, eq. 1; its two directions are averaged). Where (n, N) bool `same` is true,
    column j is equivalent to the target and left out of the sum.
    """
    logits = scale * rows @ columns.T
    if same is not None:
        own = torch.zeros_like(same).scatter_(1, target[:, None], True)
        logits = logits.masked_fill(same & ~own, float("-inf"))
    return functional.cross_entropy(logits, target, reduction="none")


def hard_negative(
    regions: Tensor, positives: Tensor, negatives: Tensor, valid: Tensor, scale: Tensor
) -> Tensor:
    """Returns (R,) the loss of each region against its own negatives, image to text.

    -log( exp(s x.p) / (exp(s x.p) + sum_k exp(s x.n_k)) ) for (R, D) `regions` and `positives`,
    (R, K, D) `negatives`, those that are (R, K) `valid` (FG-CLIP, eq. 4, where K is always 10). A
    region without negatives has loss 0.
    """
    own = (regions * positives).sum(-1, keepdim=True)
    others = torch.einsum("rd,rkd->rk", regions, negatives)
    others = (scale * others).masked_fill(~valid, float("-inf"))
    logits = torch.cat([scale * own, others], 1)
    return logits.logsumexp(1) - logits[:, 0]


def text_separation(texts: Tensor, neighbours: int = 10, same_above: float = 0.95) -> Tensor:
    """Returns (M,) FG-CLIP 2's textual intra-modal contrastive loss (TIC) of (M, D) `texts`.

    -log( 1 / sum_{m in T_i} exp S(T_i, T_m) ), S the cosine, T_i the `neighbours` most similar
    other texts among those with S <= `same_above`. The published loss is the sum over i. A text
    without such neighbours has loss 0.
    """
    similar = texts @ texts.T
    out = torch.eye(len(texts), dtype=torch.bool, device=texts.device) | (similar > same_above)
    nearest = similar.masked_fill(out, float("-inf")).topk(min(neighbours, len(texts)), 1).values
    some = nearest[:, 0] > float("-inf")
    loss = texts.new_zeros(len(texts))
    return loss.masked_scatter(some, nearest[some].logsumexp(1).to(loss.dtype))


def ranking(
    regions: Tensor, positives: Tensor, negatives: Tensor, valid: Tensor, margins: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns (R, K) FG-CLIP 2's cross-modal rank loss with global thresholds (CMR), and gaps.

    max(0, S(I, T_k) - S(I, T) + tau_k), S the cosine; shapes as in `hard_negative`, tau = (K,)
    `margins`; 0 where not `valid`. The gap is S(I, T) - S(I, T_k), without gradient: its mean over
    all regions of a step is the tau_k of the next.
    """
    own = (regions * positives).sum(-1, keepdim=True)
    gaps = own - torch.einsum("rd,rkd->rk", regions, negatives)
    loss = (margins - gaps).clamp(min=0).masked_fill(~valid, 0.0)
    return loss, gaps.detach().masked_fill(~valid, 0.0)
