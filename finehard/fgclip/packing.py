"""Packs texts without padding, so that every distinct prefix in a batch is encoded once.

With causal attention, a token's state does not depend on what follows it. So padding can be
dropped, equal texts can share one result, and texts with a common prefix (a region's caption and
its hard negatives) can share the states of the prefix. All of this is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHORT, LONG = 0, 1
"""The kind of a text, which selects positions and head: short captions and region texts, or long
captions."""

Ints = NDArray[np.int64]
_EMPTY: Ints = np.empty(0, dtype=np.int64)

Text = tuple[int, ...]
"""Token ids with begin and end of text, unpadded."""

ATTENTION = "finehard_packed"
"""The name that `packed_attention` is registered under in transformers."""

_ROW, _STEP = 32, 8
"""Attention is computed in two groups of rows, each row with several texts that do not see each
other: rows of up to 32 tokens, and rows as long as the longest text, with shorter ones in what is
left of them. Both lengths are multiples of 8."""


@dataclass(frozen=True)
class Packing:
    """N distinct prefixes ("nodes") of U distinct texts, and the nodes of each text.

    ids        (N,) int64, the last token of each prefix
    depths     (N,) int64, its position in the text, from 0
    long       (N,) bool, whether it takes the long positions
    spread     (T,) int64, the node of each token of each text, row by row; rows are padded at their
               ends with node 0
    inside     (T,) int32, the text that the token belongs to; -1 for padding
    pick       (N,) int64, for each node one index into `spread`
    ends       (U,) int64, the node of each text's last token, in the order of first occurrence
    groups     (length, count) of each run of rows of equal length in `spread`
    """

    ids: Tensor
    depths: Tensor
    long: Tensor
    spread: Tensor
    inside: Tensor
    pick: Tensor
    ends: Tensor
    groups: tuple[tuple[int, int], ...]

    def to(self, device: torch.device | str) -> Packing:
        """Returns the packing with all tensors on `device`."""
        names = ("ids", "depths", "long", "spread", "inside", "pick", "ends")
        return replace(self, **{n: getattr(self, n).to(device, non_blocking=True) for n in names})

    @cached_property
    def masks(self) -> tuple[Tensor, ...]:
        """Returns for each group (count, 1, length, length) bool, whether a token (third dimension)
        sees another: of its own text, and not later. All layers use the same."""
        masks = []
        for part, (length, count) in zip(self.inside.split(self.sizes), self.groups, strict=True):
            rows = part.unflatten(0, (count, length))
            masks.append((rows[:, None, :, None] == rows[:, None, None, :]).tril())
        return tuple(masks)

    @property
    def sizes(self) -> list[int]:
        """Returns the number of tokens in each group."""
        return [length * count for length, count in self.groups]


def pack(
    texts: Sequence[tuple[int, Text]], share_prefixes: bool = True
) -> tuple[Packing, list[int]]:
    """Packs `texts`, each (SHORT or LONG, tokens); also returns each text's index in the packing.

    With `share_prefixes` false, only equal texts share their states. Raises `ValueError` for a text
    without tokens.
    """
    known: dict[tuple[int, Text], int] = {}
    which = [known.setdefault(text, len(known)) for text in texts]
    distinct = list(known)
    if any(not tokens for _, tokens in distinct):
        raise ValueError("a text without tokens cannot be packed")
    paths: list[Ints] = [_EMPTY] * len(distinct)
    ids, depths, long = [_EMPTY], [_EMPTY], [_EMPTY]
    count = 0
    for kind in (SHORT, LONG):
        members = [i for i, (k, _) in enumerate(distinct) if k == kind]
        if not members:
            continue
        tokens, rows, new = _tree([distinct[i][1] for i in members], share_prefixes)
        ids.append(tokens[new])
        depths.append(np.nonzero(new)[1])
        long.append(np.full(len(ids[-1]), kind == LONG))
        for row, i in enumerate(members):
            paths[i] = rows[row, : len(distinct[i][1])] + count
        count += len(ids[-1])
    groups, starts = _rows([len(path) for path in paths])
    lengths = np.array([len(path) for path in paths], dtype=np.int64)
    before = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum())
    places += np.repeat(np.array(starts, dtype=np.int64) - before, lengths)
    total = sum(length * rows for length, rows in groups)
    spread, inside = np.zeros(total, dtype=np.int64), np.full(total, -1, dtype=np.int32)
    spread[places] = np.concatenate([_EMPTY, *paths])
    inside[places] = np.repeat(np.arange(len(paths)), lengths)
    pick = np.empty(count, dtype=np.int64)
    pick[spread[places]] = places
    packing = Packing(
        ids=torch.from_numpy(np.concatenate(ids)),
        depths=torch.from_numpy(np.concatenate(depths)),
        long=torch.from_numpy(np.concatenate(long).astype(bool)),
        spread=torch.from_numpy(spread),
        inside=torch.from_numpy(inside),
        pick=torch.from_numpy(pick),
        ends=torch.tensor([int(path[-1]) for path in paths], dtype=torch.int64),
        groups=groups,
    )
    return packing, which


def _tree(texts: list[Text], share: bool) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Returns (M, L) the tokens of the texts in sorted order; (M, L) the number of the prefix that
    ends at each token of each text, in the given order; and (M, L) whether a prefix occurs for the
    first time, in sorted order."""
    lengths = np.array([len(t) for t in texts])
    inside = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.full(inside.shape, -1, dtype=">i4")  # big-endian: bytes sort as numbers do
    tokens[inside] = np.fromiter(chain.from_iterable(texts), np.int64, int(lengths.sum()))
    order = np.argsort(tokens.view(f"V{4 * inside[0].size}").reshape(-1), kind="stable")
    tokens, inside = tokens[order], inside[order]
    new = inside.copy()
    if share:  # the common prefix with the previous text: no other text shares a longer one
        new[1:] &= ~np.logical_and.accumulate(tokens[1:] == tokens[:-1], axis=1)
    numbers = np.where(new, np.cumsum(new).reshape(new.shape) - 1, -1)
    rows = np.empty_like(numbers)
    rows[order] = np.maximum.accumulate(numbers, axis=0)
    return tokens.astype(np.int64), rows, new


def trim(ids: Tensor, end: int | None = None) -> list[Text]:
    """Returns the rows of padded (M, L) `ids`, each up to and including its first end of text.

    `end` is that token; None: the highest id of each row, as in CLIP's vocabulary.
    """
    last = ids.argmax(1) if end is None else (ids == end).int().argmax(1)
    return [tuple(row[: stop + 1]) for row, stop in zip(ids.tolist(), last.tolist(), strict=True)]


def _rows(lengths: list[int]) -> tuple[tuple[tuple[int, int], ...], list[int]]:
    """Returns the groups of rows, (length, count), for texts of these lengths, and where each text
    starts. A row takes the longest text that is left, then the longest that fits, and so on."""
    waiting: list[list[int]] = [[] for _ in range(max(lengths, default=0) + 1)]
    for text, length in enumerate(lengths):
        waiting[length].append(text)
    starts, groups, begin = [0] * len(lengths), [], 0
    for least, most in ((_ROW + 1, len(waiting) - 1), (1, min(_ROW, len(waiting) - 1))):
        length, count = -(-most // _STEP) * _STEP, 0
        while any_from := _longest(waiting, most, least):
            count += 1
            place, fits = begin, any_from
            while fits:
                for _ in range(min(len(waiting[fits]), (begin + length - place) // fits)):
                    starts[waiting[fits].pop()] = place
                    place += fits
                fits = _longest(waiting, min(fits, begin + length - place), 1)
            begin += length
        if count:
            groups.append((length, count))
    return tuple(groups), starts


def _longest(waiting: list[list[int]], most: int, least: int) -> int:
    """Returns the largest length from `least` to `most` of which a text is waiting, or 0."""
    return next((n for n in range(most, least - 1, -1) if waiting[n]), 0)


class _Spread(torch.autograd.Function):
    """`values[index]`, its gradient summed in float32: thousands of texts may share a prefix.

    The order of the sum is fixed: on a GPU, where `index_add_` has none, it is that of an
    embedding's gradient.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.like = (values.shape, values.dtype)
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        shape, dtype = ctx.like
        wide = grads[0].to(torch.promote_types(dtype, torch.float32))
        if index.is_cuda:
            return embedding_sum(wide, index, shape[0]).to(dtype), None
        total = torch.zeros(shape, dtype=wide.dtype)
        total.index_add_(0, index, wide)
        return total.to(dtype), None


def embedding_sum(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Returns (count, ...) the sums of (T, ...) `rows` with the same `index` (T,)."""
    sums: Tensor = torch.ops.aten.embedding_dense_backward(rows.flatten(1), index, count, -1, False)
    return sums.unflatten(1, rows.shape[1:])


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    *,
    packing: Packing | None = None,
    **rest: Any,
) -> tuple[Tensor, Tensor | None]:
    """Causal attention within each packed text; (1, heads, N, d) in, (1, N, heads, d) out.

    The signature is that of transformers' attention functions. Without `packing` it calls theirs,
    so that what the model inherits from CLIP works unchanged.
    """
    if packing is None:
        return ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
    joined = torch.stack((query[0], key[0], value[0])).permute(2, 0, 1, 3)
    rows = _Spread.apply(joined, packing.spread)  # (T, 3, heads, d)
    attend = _attend if rows.device.type == "cpu" else functional.scaled_dot_product_attention
    out = []
    for part, mask, (length, count) in zip(
        rows.split(packing.sizes), packing.masks, packing.groups, strict=True
    ):
        q, k, v = part.unflatten(0, (count, length)).permute(2, 0, 3, 1, 4)
        attended = attend(q, k, v, mask, scale=scaling, dropout_p=dropout)
        out.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(out).index_select(0, packing.pick).unsqueeze(0), None


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, *, scale: float, dropout_p: float
) -> Tensor:
    """Explicit attention: on a CPU, torch's fused version is much slower for short texts."""
    scores = (q * scale) @ k.transpose(-1, -2)
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return functional.dropout(weights, dropout_p) @ v


AttentionInterface.register(ATTENTION, packed_attention)
