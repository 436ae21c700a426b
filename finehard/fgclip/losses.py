"""The losses of FG-CLIP and FG-CLIP 2, as functions of tensors.

Features are L2-normalised. Every function returns a value for each row, so that the caller decides
whether to average over one process or all. All are computed in float32, or in float64 where that is
given, whatever autocast says: at a scale of 100, the gradient of a loss in bfloat16 is off by
several per cent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from finehard.fgclip.chunked import (
    ELEMENTS,
    NOTHING,
    LeftOut,
    Sigmoid,
    Softmax,
    parts,
    row_losses,
)

Result = TypeVar("Result")

NEIGHBOURS, SAME_ABOVE = 10, 0.95
"""Texts that a text is separated from, and the cosine above which two texts are the same
(FG-CLIP 2's published code)."""


def _precise(function: Callable[..., Result]) -> Callable[..., Result]:
    """Computes `function` in float32 or float64, without autocast."""

    def widened(value: Any) -> Any:
        if isinstance(value, LeftOut):
            texts = None if value.texts is None else tuple(map(widened, value.texts))
            return value._replace(texts=texts)
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.to(torch.promote_types(value.dtype, torch.float32))
        return value

    @functools.wraps(function)
    def precise(*args: Any, **options: Any) -> Result:
        with torch.autocast(args[0].device.type, enabled=False):
            return function(*map(widened, args), **{k: widened(v) for k, v in options.items()})

    return precise


@_precise
def contrastive(
    rows: Tensor,
    columns: Tensor,
    target: Tensor,
    scale: Tensor,
    left_out: LeftOut = NOTHING,
    elements: int = ELEMENTS,
) -> Tensor:
    """Returns (n,) InfoNCE in one direction, of (n, D) `rows` against (N, D) `columns`.

    -log( exp(s x_i.y_t) / sum_j exp(s x_i.y_j) ), t = `target` (n,), s = `scale` (FG-CLIP,
    arXiv 2505.05071, eq. 1; its two directions are averaged), without the columns `left_out`.
    At most `elements` logits are in memory at a time.
    """
    bias = torch.zeros_like(scale)
    return row_losses(Softmax(), rows, columns, target, scale, bias, left_out, elements)


@_precise
def sigmoid(
    rows: Tensor,
    columns: Tensor,
    target: Tensor,
    scale: Tensor,
    bias: Tensor,
    left_out: LeftOut = NOTHING,
    elements: int = ELEMENTS,
) -> Tensor:
    """Returns (n,) SigLIP's loss of (n, D) images `rows` against (N, D) texts `columns`.

    sum_j log(1 + exp(-z_ij (s x_i.y_j + b))), z = 1 for j = `target`, else -1, s = `scale`,
    b = `bias` (arXiv 2303.15343, eq. 1; FG-CLIP 2's loss of images and captions).
    """
    return row_losses(Sigmoid(), rows, columns, target, scale, bias, left_out, elements)


@_precise
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


@_precise
def text_separation(
    rows: Tensor,
    columns: Tensor,
    own: Tensor,
    distinct: Tensor,
    neighbours: int = NEIGHBOURS,
    same_above: float = SAME_ABOVE,
    elements: int = ELEMENTS,
) -> Tensor:
    """Returns (n,) FG-CLIP 2's textual intra-modal contrastive loss (TIC) of (n, D) texts `rows`.

    log sum_{m in T_i} exp S(T_i, T_m), S the cosine, T_i the `neighbours` most similar of the
    (N, D) `columns`. As published, the text itself, column `own` (n,), and columns with
    S > `same_above` count as S = 0. Only columns that are (N,) `distinct` are used, and at most as
    many as there are: published, a text occurs as often as regions have it, and fewer than
    `neighbours` texts are an error.
    """

    def of(part: Tensor, own: Tensor) -> Tensor:
        similar = part @ columns.T
        same = (similar > same_above).scatter(1, own[:, None], True)
        similar = similar.masked_fill(same, 0.0).masked_fill(~distinct, float("-inf"))
        return similar.topk(min(neighbours, len(columns)), 1).values.logsumexp(1)

    values = [
        checkpoint(of, rows[part], own[part], use_reentrant=False)
        for part in parts(len(rows), len(columns), elements)
    ]
    return torch.cat([rows.new_empty(0), *values])


@_precise
def ranking(
    regions: Tensor,
    positives: Tensor,
    negatives: Tensor,
    valid: Tensor,
    scale: Tensor,
    threshold: Tensor,
) -> tuple[Tensor, Tensor]:
    """Returns (R, K) FG-CLIP 2's cross-modal rank loss with a global threshold (CMR), and gaps.

    max(0, S(I, T_k) - S(I, T) + tau), S the cosine times `scale`; shapes as in `hard_negative`,
    tau = `threshold`, a scalar; 0 where not `valid`. The gap is S(I, T) - S(I, T_k), without
    gradient: its mean over a step's pairs is the threshold of the next step.
    """
    own = (regions * positives).sum(-1, keepdim=True)
    gaps = scale * (own - torch.einsum("rd,rkd->rk", regions, negatives))
    loss = functional.relu(threshold - gaps).masked_fill(~valid, 0.0)
    return loss, gaps.detach().masked_fill(~valid, 0.0)


@_precise
def imitation(
    rows: Tensor,
    columns: Tensor,
    scale: Tensor,
    teacher_rows: Tensor,
    teacher_columns: Tensor,
    elements: int = ELEMENTS,
) -> Tensor:
    """Returns (n,) the divergence of (n, D) `rows`' similarities to (N, D) `columns` from a
    teacher's, of (n, D') to (N, D').

    sum_j p_j log(p_j / q_j), p and q the softmax over the columns of the teacher's and of the
    model's scaled cosines; `scale` is the model's, the teacher's is in its features (TinyCLIP,
    arXiv 2309.12314, eq. 3, whose cross-entropy has the same gradient). At most `elements` logits
    are in memory at a time.
    """

    def of(part: Tensor, teacher_part: Tensor) -> Tensor:
        own = functional.log_softmax(scale * (part @ columns.T), 1)
        goal = functional.log_softmax(teacher_part @ teacher_columns.T, 1)
        return (goal.exp() * (goal - own)).sum(1)

    values = [
        checkpoint(of, rows[part], teacher_rows[part], use_reentrant=False)
        for part in parts(len(rows), len(columns), elements)
    ]
    return torch.cat([rows.new_empty(0), *values])


def first_of_equal(ids: Tensor) -> Tensor:
    """Returns (N,) bool, whether each of (N,) int64 `ids` occurs for the first time."""
    ordered, order = ids.sort(stable=True)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(new).scatter_(0, order, new)
