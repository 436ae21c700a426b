"""Losses of rows against many columns, in chunks, so that no matrix of all logits is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

ELEMENTS = 1 << 22
"""Logits of one chunk, at most: 17 MB in float32, of which some copies exist at a time."""


class LeftOut(NamedTuple):
    """Which columns are left out of a row's sum. None: none for that reason.

    valid   (N,) bool, false for columns that are padding
    ids     (n,) and (N,) int64, equal for equivalent texts
    texts   (n, D) and (N, D) normalised features of the texts: those whose cosine is `above` or
            more are equivalent
    """

    valid: Tensor | None = None
    ids: tuple[Tensor, Tensor] | None = None
    texts: tuple[Tensor, Tensor] | None = None
    above: float = 1.0

    def mask(self, part: slice, target: Tensor) -> Tensor | None:
        """Returns (n', N) bool for the rows in `part`, false at each row's `target` (n',)."""
        masks = []
        if self.valid is not None:
            masks.append(~self.valid.expand(len(target), -1))
        if self.ids is not None:
            masks.append(self.ids[0][part, None] == self.ids[1])
        if self.texts is not None:
            masks.append(self.texts[0].detach()[part] @ self.texts[1].detach().T >= self.above)
        if not masks:
            return None
        mask = masks[0]
        for other in masks[1:]:
            mask = mask | other
        return mask.scatter(1, target[:, None], False)


NOTHING = LeftOut()


class Loss(Protocol):
    """A loss of logits (n, N) with one true column a row, and its derivative by the logits.

    Logits left out are -inf.
    """

    def value(self, logits: Tensor, target: Tensor) -> Tensor: ...

    def slope(self, logits: Tensor, target: Tensor) -> Tensor: ...


class Softmax:
    """InfoNCE: -log( exp(l_t) / sum_j exp(l_j) )."""

    def value(self, logits: Tensor, target: Tensor) -> Tensor:
        """Returns (n,) losses."""
        return functional.cross_entropy(logits, target, reduction="none")

    def slope(self, logits: Tensor, target: Tensor) -> Tensor:
        """Returns the (n, N) derivatives."""
        return _less_one(logits.softmax(1), target)


class Sigmoid:
    """SigLIP (arXiv 2303.15343): -log sigmoid(l_t) - sum of log sigmoid(-l_j) of the others."""

    def value(self, logits: Tensor, target: Tensor) -> Tensor:
        """Returns (n,) losses."""
        own = logits.gather(1, target[:, None])[:, 0]
        return functional.softplus(logits).sum(1) - own

    def slope(self, logits: Tensor, target: Tensor) -> Tensor:
        """Returns the (n, N) derivatives."""
        return _less_one(logits.sigmoid(), target)


def _less_one(slope: Tensor, target: Tensor) -> Tensor:
    """Returns `slope` (n, N), changed: less 1 at each row's `target`."""
    return slope.scatter_add_(1, target[:, None], slope.new_full((len(slope), 1), -1.0))


def row_losses(
    loss: Loss,
    rows: Tensor,
    columns: Tensor,
    target: Tensor,
    scale: Tensor,
    bias: Tensor,
    left_out: LeftOut,
    elements: int = ELEMENTS,
) -> Tensor:
    """Returns (n,) `loss` of the logits scale * (n, D) `rows` . (N, D) `columns` + bias.

    `target` (n,) int64 is each row's true column; `scale` and `bias` are scalars. At most
    `elements` logits are computed at a time, again in the backward pass.
    """
    return _RowLosses.apply(rows, columns, scale, bias, target, loss, left_out, elements)


class _RowLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        columns: Tensor,
        scale: Tensor,
        bias: Tensor,
        target: Tensor,
        loss: Loss,
        left_out: LeftOut,
        elements: int,
    ) -> Tensor:
        ctx.save_for_backward(rows, columns, scale, bias, target)
        ctx.rest = (loss, left_out, elements)
        values = rows.new_empty(len(rows))
        for part in parts(len(rows), len(columns), elements):
            logits = (rows[part] @ columns.T).mul_(scale).add_(bias)
            mask = left_out.mask(part, target[part])
            if mask is not None:
                logits.masked_fill_(mask, float("-inf"))
            values[part] = loss.value(logits, target[part])
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, columns, scale, bias, target = ctx.saved_tensors
        loss, left_out, elements = ctx.rest
        to_rows, to_columns = torch.zeros_like(rows), torch.zeros_like(columns)
        to_scale, to_bias = torch.zeros_like(scale), torch.zeros_like(bias)
        with torch.autocast(rows.device.type, enabled=False):
            for part in parts(len(rows), len(columns), elements):
                cosines = rows[part] @ columns.T
                logits = cosines * scale + bias
                mask = left_out.mask(part, target[part])
                if mask is not None:
                    logits.masked_fill_(mask, float("-inf"))
                slope = loss.slope(logits, target[part]).mul_(grads[0][part, None])
                to_scale += slope.flatten().dot(cosines.flatten())
                to_bias += slope.sum()
                slope.mul_(scale)
                to_rows[part] = slope @ columns
                to_columns.addmm_(slope.T, rows[part])
        return to_rows, to_columns, to_scale, to_bias, None, None, None, None


def parts(rows: int, columns: int, elements: int) -> Iterator[slice]:
    """Yields slices of `rows` rows with at most `elements` values each, of one row at least."""
    step = max(1, elements // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
